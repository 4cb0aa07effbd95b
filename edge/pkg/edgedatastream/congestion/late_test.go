// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package congestion

import (
	"math"
	"testing"
	"time"
)

// late reads an acknowledgement of that many bytes, which has been there for so long.
func (t *trace) late(bytes uint64, unread time.Duration) {
	t.Sampled(t.now, Sample{RTT: 50 * ms, MinRTT: 50 * ms, Unread: unread})
	t.bytes += bytes
	t.Acked(t.now, t.bytes, t.now.Add(t.cloud-unread))
}

// An acknowledgement is dated by when it came; when it was read says nothing about the path.
func TestLateReading(t *testing.T) {
	tr := newTrace(t)
	tr.send(1, 10000)
	tr.wait(100 * ms)
	tr.late(10000, 60*ms) // not long enough to be sure: the kernel counts in ticks
	expect(tr, "round trip", tr.RTT(), 100*ms)
	tr.send(1, 10000)
	tr.wait(350 * ms)
	tr.late(10000, 300*ms)
	expect(tr, "round trip", tr.RTT(), 50*ms)
}

// A program that was late twice within 4 s is starved, up to 4 s after the last time.
func TestStarved(t *testing.T) {
	tr := measured(t)
	window, pace := tr.Window(), 400000.0
	look := func(after, unread time.Duration) {
		tr.wait(after)
		tr.Sampled(tr.now, Sample{RTT: 50 * ms, MinRTT: 50 * ms, Unread: unread})
	}
	expectLate := func(want time.Duration) {
		t.Helper()
		expect(tr, "lateness", tr.lateness(), want)
		if tr.Starved(tr.now) != (want > 0) || tr.Starved(tr.now.Add(lateMemory+ms)) {
			t.Errorf("starved: %v, and %v when nothing has come since", tr.Starved(tr.now), tr.Starved(tr.now.Add(lateMemory+ms)))
		}
		if want > 0 {
			expect(tr, "pacing rate", tr.PacingRate(), 0)
		} else {
			expect(tr, "window", tr.Window(), window)
			expect(tr, "pacing rate", tr.PacingRate(), pace)
		}
	}
	look(0, 100*ms)
	look(200*ms, 100*ms) // not late
	expectLate(0)
	look(500*ms, 300*ms)
	expectLate(0)
	look(0, 300*ms) // the same turn: two were there
	look(100*ms, 400*ms)
	expectLate(0)
	look(4001*ms, 400*ms) // the last time was too long ago
	expectLate(0)
	look(4000*ms, 400*ms)
	expectLate(200 * ms)
	expect(tr, "window", tr.Window(), minWindow+200*(50+200+125)) // at 200 kB/s a round trip, what is usual, and half of both
	look(500*ms, 300*ms)
	expectLate(250 * ms)
	look(10*time.Second, 9*time.Second) // a machine that was suspended
	expectLate(0)
	look(2*time.Second, 2*time.Second)
	expectLate(500 * ms) // counted as one
	look(2*time.Second, 2*time.Second)
	expectLate(750 * ms)
	look(4000*ms, 0)
	expectLate(750 * ms)
	look(1*ms, 0)
	expectLate(0)
}

func (t *trace) lateness() time.Duration { return t.Controller.late.usual }

// What a starved program sends in one turn and in the next does not make a rate; what arrives between two turns does.
func TestRateOfStarved(t *testing.T) {
	turn := func(tr *trace) { // 50 ms of it are the path's
		tr.send(4, 10000)
		tr.wait(30 * ms)
		tr.late(20000, 0)
		tr.wait(370 * ms)
		tr.late(20000, 320*ms)
	}
	tr := newTrace(t)
	tr.send(1, 1) // the writer has always more
	tr.late(1, 0)
	for range 20 {
		turn(tr)
	}
	if math.Abs(tr.Rate()-400000) > 1000 {
		t.Errorf("the rate is %.0f, 20000 bytes come in 50 ms", tr.Rate())
	}
}
