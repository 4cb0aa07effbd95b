// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"sync"
	"time"

	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/congestion"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tracing"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// maxGOPDuration bounds the cache in time; config's queue bounds it in bytes.
const maxGOPDuration = 30 * time.Second

// stream is one target between its source and its tunnel: it knows what the cloud wants, what the source does,
// what has been sent and what could be sent again. It outlives both camera sessions and tunnels. Its three
// users are the puller, which runs the source; the tunnel's reader, which says what is desired; and the
// tunnel's writer, which takes what is to be sent.
type stream struct {
	key     tunnel.StreamKey
	sources source.Registry
	config  *v1alpha1.EdgeDataStream
	metrics *Metrics
	tracer  *tracing.Tracer

	// ready wakes the writer, wake the puller.
	ready, wake signal

	mutex  sync.Mutex
	target assignment.Target
	queue  *sendQueue
	// path is what is known of the present tunnel's; nil without a tunnel, or if congestion control is off.
	path *congestion.Controller

	// What the cloud wants. attached: there is a tunnel; heard: it has said what is desired; fresh: nothing was sent on
	// it yet; announced: it has been told the tracks as they are now.
	action                            tunnel.Action
	traceparent                       string // of who asked for the source, until it is begun
	credentials                       tunnel.Credentials
	generation                        uint64
	attached, heard, fresh, announced bool
	reported                          tunnel.State
	hold                              *time.Timer // ends a source that has lost its tunnel

	// What the source does. present is the session whose units count, coming one that is to take its place; abort ends both.
	source          tunnel.State // Generation is not used
	present, coming *session
	abort           context.CancelFunc
	// sub is the choice between the target's two streams; nil if it has only one.
	sub *substream

	tracks tunnel.Tracks
	lead   *media.Track
	gop    media.GOP

	// sequence is that of the newest unit. clock numbers the source's clocks: this one began with clockStart, and the
	// cloud is known to have units of ackedClock.
	sequence                      uint64
	clock, clockStart, ackedClock uint64
	newClock                      bool
	gaugedBytes, gaugedUnits      int
	gaugedSub                     bool
}

func newStream(key tunnel.StreamKey, target assignment.Target, cfg *v1alpha1.EdgeDataStream, sources source.Registry, m *Metrics) *stream {
	s := &stream{
		key: key, target: target, sources: sources, config: cfg, metrics: m,
		ready: newSignal(), wake: newSignal(),
		action: tunnel.Stop,
		source: tunnel.State{State: tunnel.Idle},
		gop:    media.GOP{MaxBytes: cfg.Queue.Bytes, MaxDuration: maxGOPDuration},
		// The cloud tells units that it has already by their sequence, so this process must not use again what an earlier
		// one did. No stream has a million units per second.
		sequence: uint64(time.Now().UnixMicro()),
	}
	s.queue = newSendQueue(cfg.Queue.Bytes, cfg.Queue.Age.Duration, s.dropped)
	s.sub = s.newSubstream()
	m.streams.add(s)
	return s
}

// attach begins to use a tunnel, on which hello is the first message.
func (s *stream) attach(hello *tunnel.Hello) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.attached, s.heard, s.fresh, s.announced = true, false, true, false
	s.queue.clear()
	s.measure()
	s.queue.sent, s.queue.sentClock = 0, s.ackedClock
	s.queue.pushMessage(hello)
	s.report(true)
	s.announce()
	s.flush()
}

// detach takes note that the tunnel is gone. The source lives on for a while.
func (s *stream) detach() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.attached = false
	s.path, s.queue.lateness = nil, lateness{}
	s.queue.clear()
	s.flush()
	if s.action == tunnel.Stop || s.hold != nil {
		return
	}
	s.beginHold()
}

// beginHold lets the source live on until the tunnel is back, for a while. The mutex is held.
func (s *stream) beginHold() {
	var hold *time.Timer
	hold = time.AfterFunc(s.config.Source.HoldTime.Duration, func() {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		if s.hold == hold { // else the tunnel came back just now, and may even have gone again
			s.expire()
		}
	})
	s.hold = hold
}

// expire ends a source whose tunnel did not come back. The mutex is held.
func (s *stream) expire() {
	klog.InfoS("Camera session is closed, the tunnel is not back", "stream", s.key)
	s.hold = nil
	s.stop()
	s.report(false)
	s.flush()
}

// close ends what only the stream itself knows of. The puller has ended before.
func (s *stream) close() {
	s.metrics.streams.remove(s)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.endHold()
	s.queue.clear()
	s.present = nil
	s.flush()
}

func (s *stream) endHold() {
	if s.hold != nil {
		s.hold.Stop()
		s.hold = nil
	}
}

// desire follows the cloud.
func (s *stream) desire(d *tunnel.Desired) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.endHold()
	wasSending, wasWanted := s.sending(), s.action != tunnel.Stop
	s.heard, s.action, s.generation, s.traceparent = true, d.Action, d.Generation, d.Traceparent
	if d.Action == tunnel.Stop {
		s.stop()
	} else {
		s.setCredentials(d.Credentials)
		if !wasWanted {
			s.source = tunnel.State{State: tunnel.Connecting}
			s.wake.set()
		}
	}
	if !s.sending() {
		s.queue.clearUnits()
	}
	s.report(true)
	if s.sending() && !wasSending {
		s.resume()
	}
	s.flush()
}

// ack takes note of what has reached the cloud. It returns how fast to send on, in bytes per second; 0 is no limit.
func (s *stream) ack(a *tunnel.Ack) float64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.clock > 0 && a.Sequence >= s.clockStart {
		s.ackedClock = s.clock
	}
	if s.path == nil {
		return 0
	}
	s.path.Acked(time.Now(), a.Bytes, time.UnixMicro(a.Received))
	s.ready.set() // there may be room now
	return s.path.PacingRate()
}

// sampled takes note of what the kernel knows of the tunnel. It returns for how long the path has been losing packets by itself.
func (s *stream) sampled(kernel congestion.Sample) time.Duration {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.path == nil {
		return 0
	}
	now := time.Now()
	s.path.Sampled(now, kernel)
	return s.path.Lossy(now)
}

// silent says whether the cloud has acknowledged nothing for so long, though something is under way, that the tunnel may be dead.
func (s *stream) silent() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.path != nil && s.path.Silent(time.Now()) > max(silence, silentTrips*s.path.RTT())
}

// current is the target as it is now.
func (s *stream) current() assignment.Target {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.target
}

// update changes the target: another URL or other properties are a new source, on the same tunnel.
func (s *stream) update(t assignment.Target, restart bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.target = t
	if !restart {
		return
	}
	s.endSession()
	s.tracks, s.lead = tunnel.Tracks{}, nil
	s.sub = s.newSubstream()
	if s.action != tunnel.Stop {
		s.source = tunnel.State{State: tunnel.Connecting}
		s.wake.set()
		s.report(false)
		s.flush()
	}
}

// The methods below are called with the mutex held.

// kind is that of a unit's track, as it was described last.
func (s *stream) kind(u *media.AccessUnit) media.Kind {
	if t := media.Find(s.tracks.Tracks, u.Track); t != nil {
		return t.Kind
	}
	return media.Data
}

// measure begins to learn about a new tunnel's path.
func (s *stream) measure() {
	cfg := s.config.Congestion
	if !cfg.Enable {
		return
	}
	s.path = &congestion.Controller{Backlog: cfg.Backlog.Duration}
	s.queue.lateness = lateness{delay: s.path.Delay, stalled: s.path.Stalled, most: cfg.Latency.Duration, head: cfg.HeadWait.Duration}
}

// sending says whether units go to the tunnel as they come.
func (s *stream) sending() bool { return s.attached && s.heard && s.action == tunnel.Start }

// stop ends the source.
func (s *stream) stop() {
	s.action, s.credentials = tunnel.Stop, tunnel.Credentials{}
	s.endSession()
	s.source = tunnel.State{State: tunnel.Idle}
	s.wake.set()
}

// endSession ends the run of the source and forgets what came of it.
func (s *stream) endSession() {
	s.present, s.coming = nil, nil
	if s.abort != nil {
		s.abort()
		s.abort = nil
	}
	s.gop.Reset()
	s.queue.clearUnits()
	s.missVideo()
}
