// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package congestion

import (
	"math"
	"testing"
	"time"
)

const ms = time.Millisecond

// trace drives a Controller in virtual time.
type trace struct {
	*testing.T
	Controller
	now   time.Time
	cloud time.Duration // how far the cloud's clock is ahead
	bytes uint64        // acknowledged
}

func newTrace(t *testing.T) *trace {
	return &trace{T: t, Controller: Controller{Backlog: 100 * ms}, now: time.Unix(0, 0)}
}

func (t *trace) wait(d time.Duration) { t.now = t.now.Add(d) }

// send writes n units of a size.
func (t *trace) send(n, size int) {
	for range n {
		t.Sent(t.now, size)
	}
}

// ack says that so many more bytes have arrived just now.
func (t *trace) ack(bytes uint64) {
	t.bytes += bytes
	t.Acked(t.now, t.bytes, t.now.Add(t.cloud))
}

// expect compares with what a test worked out by hand.
func expect[T comparable](t *trace, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("at %v: %s is %v, want %v", t.now.Sub(time.Unix(0, 0)), what, got, want)
	}
}

func (t *trace) expectRate(want float64) {
	t.Helper()
	if math.Abs(t.Rate()-want) > 1e-6 {
		t.Errorf("at %v: rate %f, want %f", t.now.Sub(time.Unix(0, 0)), t.Rate(), want)
	}
}

// measured is a trace at 200 kB/s and a round trip of 50 ms, with an acknowledgement each 50 ms and always enough under way.
func measured(t *testing.T) *trace {
	tr := newTrace(t)
	tr.send(100, 10000)
	for range 6 {
		tr.wait(50 * ms)
		tr.ack(10000)
	}
	tr.expectRate(200000)
	expect(tr, "round trip", tr.RTT(), 50*ms)
	return tr
}

func TestUnknownPath(t *testing.T) {
	tr := newTrace(t)
	expect(tr, "window", tr.Window(), 64<<10)
	expect(tr, "round trip", tr.RTT(), 100*ms)
	expect(tr, "pacing rate", tr.PacingRate(), 0)
	expect(tr, "delay", tr.Delay(tr.now, 1<<30), 0)
	for n := 0; n < 64<<10; n += 1 << 10 {
		if !tr.MaySend() {
			t.Fatalf("stopped at %d bytes", n)
		}
		tr.send(1, 1<<10)
	}
	if tr.MaySend() {
		t.Error("may send beyond the window")
	}
	tr.wait(30 * ms)
	tr.ack(1)
	if !tr.MaySend() {
		t.Error("may not send though there is room for a byte")
	}
	tr.expectRate(0)
}

// A measurement needs a span of 40 ms and 4 KiB; the first one is the estimate, of later ones each counts for half.
func TestFirstMeasurements(t *testing.T) {
	tr := newTrace(t)
	tr.send(100, 10000)
	tr.wait(20 * ms)
	tr.ack(1000)
	tr.wait(39 * ms)
	tr.ack(10000)
	tr.expectRate(0)
	tr.wait(1 * ms)
	tr.ack(0)
	tr.expectRate(250000) // 10000 in 40 ms
	tr.wait(60 * ms)
	tr.ack(10000)
	tr.expectRate(225000) // 20000 in 100 ms: 200000

	tr = newTrace(t)
	tr.send(100, 10000)
	tr.ack(1000)
	tr.wait(50 * ms)
	tr.ack(4095)
	tr.expectRate(0)
	tr.wait(50 * ms)
	tr.ack(1)
	tr.expectRate(40960) // 4096 in 100 ms
}

// While the writer has nothing to write, arrivals show what it writes and not what the path carries.
func TestIdle(t *testing.T) {
	tr := newTrace(t)
	for range 100 { // 10 kB each 50 ms
		tr.send(1, 10000)
		tr.Idle()
		tr.wait(20 * ms)
		tr.ack(10000)
		tr.wait(30 * ms)
	}
	tr.expectRate(0)
	expect(tr, "window", tr.Window(), initialWindow)

	tr = measured(t)
	tr.wait(20 * ms)
	tr.ack(tr.sent - tr.bytes)
	tr.expectRate(tr.rate)
	for range 100 {
		tr.Idle()
		was := tr.Rate()
		tr.send(1, 5000)
		tr.wait(50 * ms)
		tr.ack(5000)
		tr.expectRate(was)
	}

	// From when it has something again, it counts again: not the first acknowledgement, which may have come after a pause.
	tr = newTrace(t)
	tr.send(1, 10000)
	tr.wait(50 * ms)
	tr.ack(10000)
	tr.Idle()
	tr.wait(time.Second)
	tr.send(10, 10000)
	tr.wait(50 * ms)
	tr.ack(10000)
	tr.wait(50 * ms)
	tr.ack(10000)
	tr.expectRate(200000)
}

// The estimate follows the window's mean: a quarter of a second, or two round trips.
func TestStep(t *testing.T) {
	for name, tc := range map[string]struct {
		bytes uint64
		want  []float64
	}{
		"down": {2500, []float64{185000, 162500, 136250, 108125, 79062.5, 64531.25, 57265.625, 53632.8125}},
		"up":   {40000, []float64{260000, 350000, 455000, 567500, 683750, 741875, 770937.5, 785468.75}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := measured(t)
			for _, want := range tc.want {
				tr.wait(50 * ms)
				tr.ack(tc.bytes)
				tr.expectRate(want)
			}
		})
	}
}

// What the cloud's clock says is not taken for what the path does when somebody sets it, whichever way and however far.
func TestCloudClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour, -1001 * ms, 1001 * ms, time.Hour, math.MinInt64, math.MaxInt64} {
		tr := measured(t)
		tr.cloud = by
		tr.wait(50 * ms)
		tr.ack(10000)
		tr.expectRate(200000) // as it was: nothing to measure from
		if n := len(tr.points); n != 1 {
			t.Errorf("set by %v: %d points", by, n)
		}
		tr.wait(50 * ms)
		tr.ack(5000)
		if by.Abs() < 10*time.Hour {
			tr.expectRate(150000)
		} else if r := tr.Rate(); !(r > 0) || math.IsInf(r, 0) {
			t.Errorf("set by %v: rate %f", by, r)
		}
	}

	// Within the slack, measurements go wrong for as long as a window lasts and are right behind that.
	for _, by := range []time.Duration{-900 * ms, 900 * ms} {
		tr := measured(t)
		tr.cloud = by
		for range 60 {
			tr.wait(50 * ms)
			tr.send(1, 10000)
			tr.ack(10000)
		}
		if r := tr.Rate(); math.Abs(r-200000) > 1 {
			t.Errorf("set by %v: rate %f after 3 s", by, r)
		}
	}
}

func TestBogusAcks(t *testing.T) {
	tr := measured(t)
	was := tr.Controller
	for _, bytes := range []uint64{0, tr.bytes - 1, tr.sent + 1, math.MaxUint64} {
		tr.Acked(tr.now.Add(time.Second), bytes, tr.now.Add(time.Second))
		if tr.acked != was.acked || tr.ackedAt != was.ackedAt || tr.rate != was.rate || tr.InFlight() != was.InFlight() || len(tr.points) != len(was.points) {
			t.Errorf("%d bytes changed the controller", bytes)
		}
	}
}

// A path that has fallen silent counts as slower the longer it is, beginning behind a window and a round trip.
func TestSilence(t *testing.T) {
	tr := measured(t)
	// 940000 bytes are under way, 10000 of them on the path.
	last := tr.now
	for _, tc := range []struct{ at, want time.Duration }{
		{0, 4675 * ms}, {300 * ms, 4675 * ms}, {600 * ms, 9375 * ms}, {1200 * ms, 18775 * ms}, {3 * time.Second, 46975 * ms},
	} {
		tr.now = last.Add(tc.at)
		expect(tr, "silence", tr.Silent(tr.now), tc.at)
		expect(tr, "delay", tr.Delay(tr.now, 0).Round(ms), tc.want)
	}
	tr.ack(0)
	expect(tr, "silence", tr.Silent(tr.now), 0)
	expect(tr, "delay", tr.Delay(tr.now, 0), 4675*ms)

	// What is not known to carry anything is as late as it has been silent.
	tr = newTrace(t)
	tr.wait(time.Hour)
	expect(tr, "silence", tr.Silent(tr.now), 0)
	tr.send(1, 1000)
	tr.wait(350 * ms)
	expect(tr, "delay", tr.Delay(tr.now, 0), 0)
	tr.wait(1 * ms)
	expect(tr, "delay", tr.Delay(tr.now, 0), 351*ms)
	tr.ack(1000)
	tr.wait(time.Hour)
	expect(tr, "silence", tr.Silent(tr.now), 0)
	expect(tr, "delay", tr.Delay(tr.now, 0), 0)
}

func TestDelay(t *testing.T) {
	tr := measured(t)
	tr.ack(tr.sent - tr.bytes - 5000)
	tr.rate = 200000
	// Less under way than the path holds: half a round trip, and what the bytes themselves take.
	expect(tr, "delay", tr.Delay(tr.now, 0), 25*ms)
	expect(tr, "delay", tr.Delay(tr.now, 20000), 125*ms)
	tr.send(1, 25000) // 20000 more than it holds
	expect(tr, "delay", tr.Delay(tr.now, 20000), 225*ms)
	tr.rate = 1e-300
	if d := tr.Delay(tr.now, math.MaxInt64); d < time.Hour {
		t.Errorf("delay %v on a path that carries nothing", d)
	}
}

// The least round trip is believed in for the span that it falls into and the next one.
func TestRoundTripAges(t *testing.T) {
	tr := newTrace(t)
	trip := func(d time.Duration) {
		tr.send(1, 1000)
		tr.Idle()
		tr.wait(d)
		tr.ack(1000)
	}
	trip(80 * ms)
	expect(tr, "round trip", tr.RTT(), 80*ms)
	trip(20 * ms)
	expect(tr, "round trip", tr.RTT(), 20*ms)
	begin := time.Unix(0, 0).Add(80 * ms)
	for tr.now.Before(begin.Add(2*rttWindow - 60*ms)) {
		expect(tr, "round trip", tr.RTT(), 20*ms)
		trip(60 * ms)
	}
	trip(60 * ms)
	trip(60 * ms)
	expect(tr, "round trip", tr.RTT(), 60*ms)
}

// Of a unit that takes long the first bytes tell the path's length.
func TestRoundTripOfLargeUnit(t *testing.T) {
	tr := newTrace(t)
	tr.send(1, 1<<20)
	tr.wait(70 * ms)
	tr.ack(16 << 10)
	expect(tr, "round trip", tr.RTT(), 70*ms)
	tr.wait(time.Second)
	tr.ack(1<<20 - 16<<10)
	expect(tr, "round trip", tr.RTT(), 70*ms)
}

// Where always much is under way, the tunnel's own backlog would pass for the path's length: it is drained, for as long as
// it takes to see a round trip without it.
func TestDrain(t *testing.T) {
	tr := measured(t)
	tr.ack(tr.sent - tr.bytes)
	tr.rate = 200000
	full := tr.Window()
	seen := time.Unix(0, 0).Add(100 * ms) // when the last unit was acknowledged that had less than 16 KiB before it
	for tr.now.Sub(seen) <= rttWindow {   // 30000 bytes under way, each unit waits for those before it
		expect(tr, "window", tr.Window(), full)
		tr.send(3, 10000)
		tr.wait(150 * ms)
		tr.bytes += 30000
		tr.marks = tr.marks[2:] // the first two of them would have a short way
		tr.Acked(tr.now, tr.bytes, tr.now)
		tr.rate = 200000
	}
	expect(tr, "window", tr.Window(), minWindow)
	tr.send(1, 10000)
	tr.wait(70 * ms)
	tr.ack(10000)
	tr.rate = 200000
	expect(tr, "window", tr.Window(), full)
	expect(tr, "round trip", tr.RTT(), 50*ms) // of the span before
}

func TestWindowAndPacing(t *testing.T) {
	for _, tc := range []struct {
		rate         float64
		rtt, backlog time.Duration
		window       int
		queueing     time.Duration
		pacing       float64
		drained      int
	}{
		{rate: 500000, rtt: 20 * ms, backlog: 100 * ms, window: 16384 + 60000, pacing: 1e6, drained: 16384},
		{rate: 500000, rtt: 20 * ms, backlog: 0, window: 16384 + 15000, pacing: 1e6, drained: 16384},
		{rate: 500000, rtt: 300 * ms, backlog: 100 * ms, window: 16384 + 225000, queueing: 50 * ms, pacing: 1e6, drained: 75000},
		{rate: 500000, rtt: 300 * ms, backlog: 100 * ms, window: 16384 + 225000, queueing: 51 * ms, pacing: 625000, drained: 75000},
		{rate: 1, rtt: ms, backlog: 100 * ms, window: 16384, queueing: time.Hour, pacing: minPacing, drained: leastDrained},
	} {
		tr := newTrace(t)
		tr.rate, tr.queueing, tr.Backlog = tc.rate, tc.queueing, tc.backlog
		tr.rtt.add(tr.now, tc.rtt)
		expect(tr, "window", tr.Window(), tc.window)
		expect(tr, "pacing rate", tr.PacingRate(), tc.pacing)
		tr.draining = true
		expect(tr, "window while draining", tr.Window(), tc.drained)
	}
}

// Queueing is what a round trip takes more than the path's length and the unit itself.
func TestQueueing(t *testing.T) {
	tr := measured(t)
	tr.ack(tr.sent - tr.bytes)
	tr.rate = 200000
	tr.send(1, 10000)
	tr.wait(100 * ms) // 50 of them for the unit
	tr.ack(10000)
	expect(tr, "queueing", tr.Queueing(), 0)
	tr.rate = 200000
	tr.send(1, 10000)
	tr.wait(140 * ms)
	tr.ack(10000)
	expect(tr, "queueing", tr.Queueing(), 40*ms)
}

// Neither a cloud that never acknowledges nor one that does so for each byte makes the controller grow.
func TestBoundedMemory(t *testing.T) {
	tr := newTrace(t)
	tr.send(100000, 100)
	if n := len(tr.marks); n > maxMarks {
		t.Errorf("%d units are remembered", n)
	}
	for range 100000 {
		tr.ack(1)
	}
	if n := len(tr.points); n > maxPoints {
		t.Errorf("%d acknowledgements are remembered", n)
	}
	tr.wait(time.Second)
	tr.ack(tr.sent - tr.bytes)
	if len(tr.marks) != 0 || cap(tr.marks) > 2*maxMarks || cap(tr.points) > 4*maxPoints {
		t.Errorf("%d units under way, room for %d and %d acknowledgements", len(tr.marks), cap(tr.marks), cap(tr.points))
	}
}
