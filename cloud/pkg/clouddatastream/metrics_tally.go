// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"time"

	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// tally is what is counted of one stream, for itself and for all. Its VideoSession's mutex guards it.
type tally struct {
	metrics *metrics

	units, bytes, gaps, connects, failures uint64

	clock    captureClock
	latency  time.Duration // of the newest picture
	pictured bool          // there has been one
	trip     time.Duration // the path's least round-trip time
	random   time.Time     // when the newest random access point came
}

// connected counts a tunnel; busy: the one before is still there.
func (t *tally) connected(busy bool) {
	kind := connectFirst
	switch {
	case busy:
		kind = connectTakeover
	case t.connects > 0:
		kind = connectAgain
	}
	t.connects++
	t.metrics.connects.WithLabelValues(kind).Inc()
}

// failed counts a camera that is reported as failed.
func (t *tally) failed(reason string) {
	t.failures++
	counter := t.metrics.failures[reason]
	if counter == nil {
		counter = t.metrics.failures[otherReason]
	}
	counter.Inc()
}

// gap counts that units are missing.
func (t *tally) gap() {
	t.gaps++
	t.metrics.gaps.Inc()
}

// received counts a unit that goes into the stream. picture: it is the lead's.
func (t *tally) received(kind media.Kind, u *media.AccessUnit, picture bool, now time.Time) {
	t.units++
	t.bytes += uint64(len(u.Payload))
	t.metrics.units.Of(kind).Inc()
	t.metrics.bytes.Of(kind).Add(float64(len(u.Payload)))
	if !picture {
		return
	}
	if !u.Capture.IsZero() {
		t.latency, t.pictured = t.clock.latency(u.Capture, now, t.trip), true
		t.metrics.capture.Observe(t.latency.Seconds())
	}
	if u.RandomAccess {
		if !t.random.IsZero() {
			t.metrics.gop.Observe(now.Sub(t.random).Seconds())
		}
		t.random = now
	}
}

// broken takes note that what comes does not follow on what was: the next random access point ends no GOP.
func (t *tally) broken() { t.random = time.Time{} }

// measured takes note of the path's least round-trip time.
func (v *VideoSession) measured(s *Session, least time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.session == s {
		v.tally.trip = least
	}
}

// figures are what there is to say of a stream when somebody asks.
type figures struct {
	key     tunnel.StreamKey
	session *Session
	state   string

	units, bytes, gaps, connects, failures uint64

	viewers, cached            int
	wanted, stalled, congested bool
	unitAge, gopAge            time.Duration // negative: there is none
	latency, ahead             time.Duration
	pictured                   bool
}

// figures returns those of now.
func (v *VideoSession) figures(now time.Time) figures {
	status, _ := v.Status()
	v.mu.Lock()
	defer v.mu.Unlock()
	t := &v.tally
	f := figures{
		key: v.key, session: v.session, state: status.State,
		units: t.units, bytes: t.bytes, gaps: t.gaps, connects: t.connects, failures: t.failures,
		viewers: v.viewers, cached: v.gop.Bytes(), wanted: v.wanted,
		stalled:   !v.stallSince.IsZero() && now.Sub(v.stallSince) >= stallTime,
		congested: status.State == string(tunnel.Streaming) && status.Reason == reasonCongested,
		unitAge:   -1, gopAge: -1,
		latency: t.latency, pictured: t.pictured,
	}
	f.ahead, _ = t.clock.ahead(t.trip)
	if !v.lastUnit.IsZero() {
		f.unitAge = max(now.Sub(v.lastUnit), 0)
	}
	if len(v.gop.Units()) > 0 && !t.random.IsZero() {
		f.gopAge = max(now.Sub(t.random), 0)
	}
	return f
}

// reasonCongested is how the edge says that its substream is on since the path is too slow.
const reasonCongested = "Congested"
