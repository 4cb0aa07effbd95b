// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// ackInterval is how often, at most, the edge hears what has reached the cloud. Its congestion control sees the path
// through these.
const ackInterval = 50 * time.Millisecond

// messagesPerSecond and messageBurst bound the control messages of an edge. Each may wake all viewers and fill a line of
// the log; a camera that comes and goes as fast as an edge dials it causes two or three a second.
const (
	messagesPerSecond = 20
	messageBurst      = 100
)

var errTalkative = fmt.Errorf("%w: more than %d control messages a second", tunnel.ErrMalformed, messagesPerSecond)

// rttInterval is how often, at most, the round-trip time is asked for.
const rttInterval = time.Second

// Session is the cloud end of one tunnel. One goroutine reads, one writes, one pings.
type Session struct {
	key   tunnel.StreamKey
	hello tunnel.Hello
	conn  *tunnel.Conn
	video *VideoSession

	measured time.Time              // when the round-trip time was last asked for; the writer's
	reason   atomic.Pointer[string] // why the tunnel ended, as metrics say it

	mu      sync.Mutex
	desired tunnel.Desired
	told    bool // desired has been written, or there is none yet
	wake    chan struct{}

	messages *rate.Limiter // those from the edge
}

// acceptSession waits for the edge's hello.
func acceptSession(conn *tunnel.Conn, video *VideoSession) (*Session, error) {
	m, _, err := conn.Read()
	if err != nil {
		return nil, fmt.Errorf("waiting for hello: %w", err)
	}
	hello, ok := m.(*tunnel.Hello)
	if !ok {
		return nil, fmt.Errorf("%w: the first message must be hello", tunnel.ErrMalformed)
	}
	if hello.Node != video.key.Node {
		return nil, fmt.Errorf("%w: hello of node %.64q", tunnel.ErrMalformed, hello.Node)
	}
	return &Session{key: video.key, hello: *hello, conn: conn, video: video, wake: make(chan struct{}, 1), told: true,
		messages: rate.NewLimiter(messagesPerSecond, messageBurst)}, nil
}

// run serves the tunnel until it ends and returns why.
func (s *Session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.video.connect(s); err != nil {
		if !errors.Is(err, errFenced) {
			s.ended(endServer)
		}
		return err
	}
	defer s.video.disconnect(s)

	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel()
	helpers.Go(func() {
		<-ctx.Done()
		s.ended(endServer)
		closeFor(ctx, s.conn) // a no-op where it ended otherwise; it wakes Read
	})
	helpers.Go(func() { s.failed("keeping tunnel alive", s.conn.KeepAlive(ctx), cancel) })
	helpers.Go(func() { s.failed("writing to tunnel", s.write(ctx), cancel) })

	for {
		m, u, err := s.conn.Read()
		switch {
		case err != nil:
		case u != nil:
			err = s.video.write(s, u, time.Now())
		case !s.messages.Allow():
			err = errTalkative
		default:
			s.handle(m)
		}
		if err != nil {
			s.ended(endReason(err))
			s.end(closeCode(err), err.Error())
			return err
		}
	}
}

// closeFor closes a connection because ctx ended: its node was cut off, or else the server ends.
func closeFor(ctx context.Context, conn *tunnel.Conn) {
	code, reason := tunnel.CloseGoingAway, "the server ends"
	var cut *refusal
	if errors.As(context.Cause(ctx), &cut) {
		code, reason = tunnel.CloseMalformed, cut.message
	}
	_ = conn.Close(code, reason)
}

func closeCode(err error) int {
	if errors.Is(err, errFenced) {
		return tunnel.CloseFenced
	}
	return tunnel.CloseCode(err)
}

// failed ends the session because one of its goroutines cannot go on.
func (s *Session) failed(what string, err error, cancel context.CancelFunc) {
	if err != nil && !errors.Is(err, context.Canceled) {
		klog.V(2).InfoS("Tunnel failed", "stream", s.key, "while", what, "err", err)
		s.ended(endLost)
	}
	cancel()
}

func (s *Session) handle(m tunnel.Message) {
	switch m := m.(type) {
	case *tunnel.State:
		s.video.setState(s, m)
	case *tunnel.Tracks:
		s.video.setTracks(s, m)
	}
}

// setDesired makes d what the edge is told next. It never blocks.
func (s *Session) setDesired(d tunnel.Desired) {
	s.mu.Lock()
	s.desired, s.told = d, false
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write sends what is desired as soon as that changes, and acknowledgements while payload arrives, until ctx ends.
func (s *Session) write(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	resting := false // an acknowledgement was sent less than ackInterval ago
	for {
		arrival := s.conn.Arrival()
		if resting {
			arrival = nil
		}
		ack := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case <-arrival:
			ack, resting = true, true
			pause.Reset(ackInterval)
		case <-pause.C:
			resting = false
			continue
		}
		for _, m := range s.pending(ack) {
			if err := s.conn.WriteMessage(m); err != nil {
				return err
			}
		}
		if now := time.Now(); ack && now.Sub(s.measured) >= rttInterval {
			s.measured = now
			s.measure()
		}
	}
}

// measure notes the path's round-trip time.
func (s *Session) measure() {
	if rtt, least, ok := s.conn.RTT(); ok {
		s.video.metrics.rtt.Observe(rtt.Seconds())
		s.video.measured(s, least)
	}
}

func (s *Session) pending(ack bool) []tunnel.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []tunnel.Message
	if !s.told {
		s.told = true
		d := s.desired
		out = append(out, &d)
	}
	if ack {
		bytes, sequence := s.conn.Arrived()
		out = append(out, &tunnel.Ack{Sequence: sequence, Bytes: bytes, Received: time.Now().UnixMicro()})
	}
	return out
}

// end closes the tunnel and tells the edge why. run returns then.
func (s *Session) end(code int, reason string) {
	if code == tunnel.CloseFenced {
		s.ended(endFenced)
	}
	s.ended(endServer)
	_ = s.conn.Close(code, reason)
}

// ended notes why the tunnel ends. The first reason counts.
func (s *Session) ended(reason string) { s.reason.CompareAndSwap(nil, &reason) }

// endReason is why a tunnel ends that cannot be read any more, or whose unit was refused.
func endReason(err error) string {
	var closed *websocket.CloseError
	switch closeCode(err) {
	case tunnel.CloseFenced:
		return endFenced
	case tunnel.CloseMalformed, tunnel.CloseTooBig:
		return endMalformed
	}
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		return endClosed
	}
	return endLost
}
