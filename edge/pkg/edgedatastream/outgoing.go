// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"time"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/congestion"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// The side of a stream that its tunnel's writer takes from.

// next takes what is to be sent next, waiting for it and for room on the path if need be. It returns false once ctx has ended.
func (s *stream) next(ctx context.Context) (queueItem, bool) {
	for {
		if item, ok := s.take(time.Now()); ok {
			return item, true
		}
		select {
		case <-ctx.Done():
			return queueItem{}, false
		case <-s.ready:
		}
	}
}

func (s *stream) take(now time.Time) (queueItem, bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	defer s.gauge()
	if s.path != nil && !s.path.MaySend() && s.queue.unitNext() {
		return queueItem{}, false
	}
	item, ok := s.queue.pop(now)
	switch {
	case item.unit != nil:
		s.metrics.QueueDelay.Observe(now.Sub(item.since).Seconds())
		s.metrics.sent(s.kind(item.unit), len(item.unit.Payload))
		if s.path != nil {
			s.path.Sent(now, len(item.unit.Payload))
		}
	case !ok && s.path != nil:
		s.path.Idle()
	}
	return item, ok
}

// The methods below are called with the mutex held.

// resume sends what there is in the cache and not in the cloud; from then on units go to the tunnel as they
// come.
func (s *stream) resume() {
	units := s.gop.Units()
	fresh := s.fresh
	s.fresh = false
	switch {
	case len(units) == 0:
		s.missVideo()
	case fresh && s.queue.broken >= units[0].Sequence:
		// The cloud takes for duplicates all that is older than what it has, so gaps of an earlier tunnel stay.
		s.missVideo()
	case !fresh && s.queue.sent >= units[0].Sequence: // still the same GOP
		for len(units) > 0 && units[0].Sequence <= s.queue.sent {
			units = units[1:]
		}
		s.send(units...)
	default:
		s.missVideo()
		s.send(units...)
	}
}

// missVideo makes all video go on at its next random access point.
func (s *stream) missVideo() {
	for i := range s.tracks.Tracks {
		if t := &s.tracks.Tracks[i]; t.Kind == media.Video {
			s.queue.miss(t.ID)
		}
	}
}

// send puts units into the queue, behind the tracks that they belong to.
func (s *stream) send(units ...*media.AccessUnit) {
	now := time.Now()
	for _, u := range units {
		t := media.Find(s.tracks.Tracks, u.Track)
		if t == nil {
			continue
		}
		s.announce()
		s.queue.pushUnit(u, t.Kind == media.Video, s.clock, now)
	}
}

func (s *stream) announce() {
	if !s.announced && len(s.tracks.Tracks) > 0 {
		s.announced = true
		t := s.tracks
		s.queue.pushMessage(&t)
	}
}

// report tells the cloud the state if it has changed, or anyway.
func (s *stream) report(anyway bool) {
	st := s.source
	if st.State == tunnel.Streaming && !s.sending() {
		st.State = tunnel.Paused
	}
	st.Generation = s.generation
	if s.attached && (anyway || st != s.reported) {
		s.reported = st
		s.queue.pushMessage(&st)
	}
}

// flush lets the writer go on and brings the gauge up to date.
func (s *stream) flush() {
	s.gauge()
	s.ready.set()
}

func (s *stream) gauge() {
	if d := s.queue.bytes - s.gaugedBytes; d != 0 {
		s.metrics.QueueBytes.Add(float64(d))
		s.gaugedBytes = s.queue.bytes
	}
	if d := s.queue.units - s.gaugedUnits; d != 0 {
		s.metrics.QueueUnits.Add(float64(d))
		s.gaugedUnits = s.queue.units
	}
	if on := s.present != nil && s.present.choice == congestion.Sub; on != s.gaugedSub {
		s.metrics.Substreams.Add(map[bool]float64{true: 1, false: -1}[on])
		s.gaugedSub = on
	}
}
