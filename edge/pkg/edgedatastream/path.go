// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"errors"
	"net"
	"time"

	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

const (
	// silenceLook is how often a tunnel is looked at.
	silenceLook = 250 * time.Millisecond
	// silence is how long nothing that was sent may be acknowledged before another tunnel is tried: longer than a
	// lost packet costs, shorter than what a dead connection takes to be found. It is at least silentTrips round trips.
	silence     = 2 * time.Second
	silentTrips = 4
)

// replace waits until the present tunnel has fallen silent, and dials others until one answers while it still
// is. After an outage TCP waits about as long again before it tries to send, and a middlebox that
// has forgotten the connection never lets it; a new connection gets through at once.
func (c *channel) replace(ctx context.Context, present *tunnel.Conn) (*tunnel.Conn, error) {
	look := time.NewTicker(silenceLook)
	defer look.Stop()
	log := klog.FromContext(ctx)
	retry := backoff{min: c.config.ReconnectMin.Duration, max: c.config.ReconnectMax.Duration}
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-look.C:
		}
		if !c.silent() || !unheard(present) {
			continue
		}
		conn, err := c.dial(ctx)
		if err != nil {
			log.V(2).Info("Tunnel is silent, no other one yet", "err", err)
			var refused *refusedError
			if errors.As(err, &refused) { // somebody is there, and busy
				if _, ok := wait(ctx, retry.after(err), nil, nil); !ok {
					return nil, ctx.Err()
				}
			}
			continue
		}
		if c.silent() {
			c.metrics.Replacements.Inc()
			log.Info("Tunnel has fallen silent, another one replaces it")
			return conn, errReplaced
		}
		_ = conn.Close(tunnel.CloseNormal, "not needed")
	}
}

// unheard says whether the cloud's machine is silent, too: where that still acknowledges, the cloud is slow, and another
// tunnel would make it slower.
func unheard(conn *tunnel.Conn) bool {
	info, err := tunnel.SocketInfo(conn.NetConn())
	return err != nil || info.Unacked > 0 && info.LastAck > silence
}

// hangUp ends a connection at once: whoever closes it in proper form waits for a peer that is not there.
func hangUp(c net.Conn) {
	for {
		over, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			_ = c.Close()
			return
		}
		c = over.NetConn()
	}
}

// lossyFor is how long a path has to lose packets by itself before TCP is told to put up with that.
const lossyFor = 3 * time.Second

// socket is the tunnel's TCP socket as congestion control sees it. Where the system refuses a setting, the tunnel is merely worse.
type socket struct {
	log         klog.Logger
	conn        net.Conn
	rate        float64
	lossControl []string
	changed     bool
	metrics     *Metrics
	sampled     time.Time // when the round-trip time was last counted
}

// rttInterval is how often, at most, a tunnel's round-trip time is counted.
const rttInterval = time.Second

// sample asks the kernel about the connection, and counts the round-trip time once in a while.
func (s *socket) sample(now time.Time) (tunnel.TCPInfo, error) {
	info, err := tunnel.SocketInfo(s.conn)
	if err == nil && now.Sub(s.sampled) >= rttInterval {
		s.sampled = now
		s.metrics.RTT.Observe(info.RTT.Seconds())
	}
	return info, err
}

// pace bounds the speed in bytes per second; 0 is no bound. Small changes are not worth a system call.
func (s *socket) pace(rate float64) {
	if rate == s.rate || rate > s.rate*7/8 && rate < s.rate*9/8 {
		return
	}
	s.rate = rate
	_ = tunnel.SetPacingRate(s.conn, uint64(rate))
}

// lossy changes TCP's congestion control on a path that has been losing packets by itself for so long. Not before: controls that
// do not mind losses are slower on good paths and unfair to each other.
func (s *socket) lossy(since time.Duration) {
	if since < lossyFor || s.changed || len(s.lossControl) == 0 {
		return
	}
	s.changed = true
	s.metrics.LossControl.Inc()
	s.log.Info("Path loses packets though it is not full, TCP's congestion control is changed", "to", s.lossControl)
	_ = tunnel.TuneSocket(s.conn, tunnel.SocketOptions{Congestion: s.lossControl})
}
