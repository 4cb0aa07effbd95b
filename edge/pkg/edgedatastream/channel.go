// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/congestion"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Causes that end a channel's context or one of its tunnels.
var (
	errTargetGone    = errors.New("the target is gone")
	errTargetChanged = errors.New("the target's rule is another one")
	errReplaced      = errors.New("it had fallen silent, another one is there")
)

// channel is one target: its stream, and a tunnel that is dialled over and over.
type channel struct {
	*stream
	dialer dialer
	// hello makes the first message of a tunnel for a rule's UID.
	hello func(ruleUID string) *tunnel.Hello
	// redial ends the present tunnel.
	redial signal
	// hurry ends the wait for the next dial: there is reason to believe that it succeeds.
	hurry signal
}

// run keeps the channel alive until ctx ends, and returns when everything it started has ended.
func (c *channel) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { c.pull(ctx) })
	c.connect(ctx)
	wg.Wait()
	c.close()
}

// apply follows a changed target with as little disturbance as possible.
func (c *channel) apply(t assignment.Target) {
	was := c.current()
	c.update(t, was.URL != t.URL || was.NeedsCredentials != t.NeedsCredentials || !maps.Equal(was.Properties, t.Properties))
	if was.RuleUID != t.RuleUID { // only a hello carries it
		c.redial.set()
	}
}

// connect dials the tunnel for ever.
func (c *channel) connect(ctx context.Context) {
	retry := backoff{min: c.config.ReconnectMin.Duration, max: c.config.ReconnectMax.Duration}
	log := transitions{Logger: klog.FromContext(ctx)}
	for ctx.Err() == nil {
		conn, err := c.dial(ctx)
		for conn != nil { // each replaces the one before
			log.connected()
			began := time.Now()
			conn, err = c.serve(ctx, conn)
			c.hurry.clear() // what came while the tunnel was there says nothing about the next dial
			if time.Since(began) > c.config.ReconnectMax.Duration {
				retry.reset() // it lived; one that is closed at once is a failure like others
			}
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errTargetChanged) {
			retry.reset()
			continue
		}
		log.failed(err)
		hurry := c.hurry
		var refused *refusedError
		if errors.As(err, &refused) && refused.retryAfter > 0 {
			hurry = nil // the cloud spreads those who come back at once, and knows better when
		}
		if woken, _ := wait(ctx, retry.after(err), c.redial, hurry); woken {
			retry.reset()
		}
	}
}

func (c *channel) dial(ctx context.Context) (*tunnel.Conn, error) {
	conn, err := c.dialer.dial(ctx, c.key)
	result := dialConnected
	switch {
	case errors.As(err, new(*refusedError)):
		result = dialRefused
	case err != nil:
		result = dialFailed
	}
	c.metrics.Dials.WithLabelValues(result).Inc()
	return conn, err
}

// serve uses one tunnel until it or ctx ends, and says why. If that is because another one took its place, it returns that too.
func (c *channel) serve(ctx context.Context, conn *tunnel.Conn) (spare *tunnel.Conn, err error) {
	c.metrics.Tunnels.Inc()
	defer c.metrics.Tunnels.Dec()
	c.attach(c.hello(c.current().RuleUID))
	defer c.detach()

	g, run := errgroup.WithContext(ctx)
	g.Go(func() error { return c.read(ctx, conn) })
	g.Go(func() error { return c.write(run, conn) })
	g.Go(func() error { return conn.KeepAlive(run) })
	g.Go(func() error {
		var err error
		spare, err = c.replace(run, conn)
		return err
	})
	g.Go(func() error {
		select {
		case <-c.redial:
			return errTargetChanged // before anything is closed: the first error counts
		case <-run.Done():
			return nil
		}
	})
	g.Go(func() error {
		<-run.Done()
		end(conn, context.Cause(run), ctx.Err() != nil)
		return nil
	})
	err = g.Wait()
	return spare, err
}

// end closes a tunnel, which makes its reader and writer return.
func end(conn *tunnel.Conn, cause error, stopping bool) {
	switch {
	case errors.Is(cause, errReplaced):
		hangUp(conn.NetConn())
	case errors.Is(cause, errTargetGone), errors.Is(cause, errTargetChanged):
		_ = conn.Close(tunnel.CloseNormal, cause.Error())
	case stopping:
		_ = conn.Close(tunnel.CloseGoingAway, "")
	default:
		_ = conn.Close(tunnel.CloseCode(cause), "")
	}
}

func (c *channel) read(ctx context.Context, conn *tunnel.Conn) error {
	socket := socket{log: klog.FromContext(ctx), conn: conn.NetConn(), lossControl: c.config.Congestion.LossControl, metrics: c.metrics}
	for {
		m, unit, err := conn.Read()
		if err != nil {
			return err
		}
		if unit != nil {
			return fmt.Errorf("%w: an access unit from the cloud", tunnel.ErrMalformed)
		}
		switch m := m.(type) {
		case *tunnel.Desired:
			c.desire(m)
		case *tunnel.Ack:
			if c.config.Congestion.Enable {
				if info, err := socket.sample(time.Now()); err == nil {
					socket.lossy(c.sampled(congestion.Sample{
						RTT: info.RTT, MinRTT: info.MinRTT, Unread: info.LastData, Retransmits: info.Retransmits, Needless: info.Needless,
					}))
				}
			}
			socket.pace(c.ack(m))
		case *tunnel.Unknown: // of a later version
		default:
			return fmt.Errorf("%w: %T from the cloud", tunnel.ErrMalformed, m)
		}
	}
}

// write is the only one that writes data to conn.
func (c *channel) write(ctx context.Context, conn *tunnel.Conn) error {
	for {
		item, ok := c.next(ctx)
		if !ok {
			return ctx.Err()
		}
		var err error
		if item.unit != nil {
			err = conn.WriteUnit(item.unit)
		} else {
			err = conn.WriteMessage(item.message)
		}
		if err != nil {
			return err
		}
	}
}

// transitions logs when a tunnel comes and goes, but not each failed try: of each kind of failure the first one. Why a tunnel does not come
// back is mostly something else than why it has ended.
type transitions struct {
	klog.Logger
	up   bool
	said map[string]bool // kinds, since it was up
}

func (t *transitions) connected() {
	t.up, t.said = true, nil
	t.Info("Tunnel connected")
}

func (t *transitions) failed(err error) {
	kind := failureKind(err)
	if t.up {
		t.up, kind = false, "ended"
	}
	if t.said[kind] {
		return
	}
	if t.said == nil {
		t.said = make(map[string]bool)
	}
	t.said[kind] = true
	t.Info("Tunnel is down, it is dialled again", "err", err)
}

// failureKind is what failures to dial have in common that one thing must be done about. Their texts differ by ports.
func failureKind(err error) string {
	var refused *refusedError
	var untrusted *tls.CertificateVerificationError
	var alert *net.OpError // crypto/tls has no type for it
	switch {
	case errors.As(err, &refused):
		return strconv.Itoa(refused.status)
	case errors.Is(err, errUnanswered):
		return "no answer"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens"
	case errors.As(err, &untrusted), errors.As(err, &alert) && (alert.Op == "remote error" || alert.Op == "local error"):
		return "TLS"
	default:
		return "other"
	}
}
