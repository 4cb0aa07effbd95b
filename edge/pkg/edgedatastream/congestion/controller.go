// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package congestion estimates what a tunnel's path carries and says how much may be under way on it. It knows no sockets,
// no clock and no media: whoever uses it says what was written and acknowledged, and when.
//
// The estimate is the dispersion of a packet train: while the writer never ran out of work, bytes arrive at the speed of the
// path's narrowest part, and the acknowledgements tell when how many had arrived. What may be under way is what the path holds
// at that speed, and a little more: so the path stays full, a path that becomes faster is found to be, and a
// router's deep buffer stays empty. The little more is in part a constant, which makes tunnels that share a path
// converge to equal shares (as in FAST TCP: Wei, Jin, Low, Hegde, 2006).
//
// A machine that is too busy to read acknowledgements is not taken for a slow path: see lateness.
package congestion

import (
	"math"
	"time"
)

const (
	// initialWindow may be under way before anything is known, in bytes.
	initialWindow = 64 << 10
	// minWindow is the constant part of what may be under way, in bytes.
	minWindow = 16 << 10
	// leastDrained is how many bytes may be under way while the path is drained: a packet or two.
	leastDrained = 2 << 10
	// defaultRTT is taken until the path has been measured.
	defaultRTT = 100 * time.Millisecond

	// minSpan and minSpread bound what counts as a measurement of the rate: shorter ones show bursts, not the path.
	minSpan = 40 * time.Millisecond
	// queuedSpan is that where the writer was idle in between and only the queue kept the path busy: a busy machine looks like
	// one for a moment.
	queuedSpan = 200 * time.Millisecond
	minSpread  = 4 << 10
	// rateWindow is the least time over which the rate is measured. It is longer on long paths, where a loss makes
	// arrivals stop for a round trip and then come all at once.
	rateWindow = 250 * time.Millisecond
	// gain is how fast the estimate follows a measurement.
	gain = 0.5
	// smallUnit is how large a unit, in bytes, may be for its round trip to be the path's.
	smallUnit = 16 << 10
	// rttWindow is how long the shortest round trip is believed in. At least as often what is under way is drained for a
	// moment, if it was not by itself: else the tunnel's own backlog, and the one that it found when it came, would pass for
	// the path's length, and what may be under way would grow with each measurement.
	rttWindow = 10 * time.Second
	// clockSlack is how much the clocks of both ends may drift apart between two acknowledgements: beyond, one was set.
	clockSlack = time.Second

	// pacingUp is how much faster than the estimate bytes leave while the path shows no queue, pacingSteady while it does.
	pacingUp, pacingSteady = 2.0, 1.25
	// minPacing is the least of it, in bytes per second: what is paced waits, and where that is most of the time it would look like
	// a queue, and the pace like the path's rate.
	minPacing = 160 << 10
	// queueing is the delay beyond the shortest round trip at which the path counts as queueing.
	queueing = 50 * time.Millisecond
	// farQueueing is the delay that shows a queue which the kernel does not see.
	farQueueing = 300 * time.Millisecond

	maxMarks  = 1024
	maxPoints = 128
)

// Controller follows one tunnel from its beginning on. It is not safe for concurrent use.
type Controller struct {
	// Backlog is how much time's worth of bytes may be under way beyond a round trip, at least half of one. It has to be longer
	// than the time between two acknowledgements.
	Backlog time.Duration

	sent, acked uint64 // payload bytes
	idle        uint64 // sent when the writer last ran out of work
	ackedAt     time.Time
	busySince   time.Time // since when something is under way
	rate        float64   // bytes per second, 0 while not known
	rtt         minimum
	drainedAt   time.Time // when a unit was last acknowledged that had next to nothing before it
	draining    bool
	queueing    time.Duration
	loss        loss
	late        lateness
	marks       []mark  // units under way
	points      []point // acknowledgements, the oldest first
	queuedSince time.Time
}

// mark is a unit that was written: its last byte's position and when it was begun.
type mark struct {
	end   uint64
	size  int
	at    time.Time
	alone bool // next to nothing was under way before it
}

func (m mark) begin() uint64 { return m.end - uint64(m.size) }

// point is an acknowledgement: how many bytes had arrived, when by the cloud's clock and when it came here.
type point struct {
	bytes        uint64
	received, at time.Time
}

// Idle says that the writer has nothing to write.
func (c *Controller) Idle() { c.idle = c.sent }

// Sent says that a unit of that many payload bytes is about to be written.
func (c *Controller) Sent(now time.Time, size int) {
	if c.InFlight() == 0 {
		c.busySince = now
	}
	alone := c.InFlight() < c.drained()
	c.sent += uint64(size)
	if len(c.marks) < maxMarks {
		c.marks = append(c.marks, mark{end: c.sent, size: size, at: now, alone: alone})
	}
}

// Acked says that the cloud has got so many payload bytes in all, the last ones at received by its clock.
func (c *Controller) Acked(now time.Time, bytes uint64, received time.Time) {
	if bytes < c.acked || bytes > c.sent {
		return // not of this tunnel, or of a confused peer
	}
	c.acked, c.ackedAt = bytes, now
	came := now.Add(-c.late.unread) // the path's time ended then
	c.measureRTT(came)
	c.measureRate(point{bytes: bytes, received: received, at: came})
}

func (c *Controller) measureRTT(now time.Time) {
	n := 0
	for n < len(c.marks) && c.marks[n].end <= c.acked {
		n++
	}
	if n < len(c.marks) {
		// Of a large unit the first bytes tell as much as a small one.
		if m := c.marks[n]; c.acked > m.begin() && c.acked-m.begin() <= smallUnit {
			c.addRTT(now, m)
		}
	}
	c.draining = !c.drainedAt.IsZero() && now.Sub(c.drainedAt) > rttWindow
	if n == 0 {
		return
	}
	// The newest one waited least for the acknowledgement.
	m := c.marks[n-1]
	rtt := c.addRTT(now, m)
	c.atLeast(m, rtt)
	c.queueing = 0
	if c.rate > 0 {
		rtt -= time.Duration(float64(m.size) / c.rate * float64(time.Second))
	}
	if c.rate > 0 || m.size <= smallUnit {
		c.queueing = max(rtt-c.RTT(), 0)
	}
	c.marks = append(c.marks[:0], c.marks[n:]...)
}

// atLeast raises the rate to what a unit shows that nothing kept waiting. Streams that are small beside a path never keep it busy, so
// without this what was measured while it was narrow would stay, and what it says is late be dropped, for ever.
func (c *Controller) atLeast(m mark, rtt time.Duration) {
	if shown := float64(m.size) / max(rtt, minSpan).Seconds(); m.alone && c.rate > 0 && shown > c.rate {
		c.rate += gain * (shown - c.rate)
	}
}

// addRTT counts the round trip of a unit, or of its beginning, and returns it.
func (c *Controller) addRTT(now time.Time, m mark) time.Duration {
	rtt := max(now.Sub(m.at), 0)
	if m.alone || rtt <= c.RTT()*9/8 || c.drainedAt.IsZero() {
		c.drainedAt, c.draining = now, false
	}
	c.rtt.add(now, rtt)
	return rtt
}

func (c *Controller) measureRate(p point) {
	if n := len(c.points); n > 0 {
		last := c.points[n-1]
		drift := p.received.Sub(last.received) - p.at.Sub(last.at)
		waited := c.late.starved() && p.received.Sub(last.received) > lateAfter // for us
		if waited || drift.Abs() > clockSlack {
			c.points = c.points[:0]
		}
	}
	// Points before the writer last ran out of work say nothing about the path, unless it has been queueing ever since, and those
	// of long ago nothing about the present.
	switch {
	case c.Queueing() <= queueing:
		c.queuedSince = time.Time{}
	case c.queuedSince.IsZero():
		c.queuedSince = p.at
	}
	useless := func(o point) bool {
		idle := o.bytes <= c.idle && (c.queuedSince.IsZero() || o.at.Before(c.queuedSince))
		return idle || p.received.Sub(o.received) > c.measuringWindow()
	}
	drop := max(len(c.points)-maxPoints+1, 0)
	for drop < len(c.points) && useless(c.points[drop]) {
		drop++
	}
	c.points = append(append(c.points[:0], c.points[drop:]...), p)
	first := c.points[0]
	span, spread, least := p.received.Sub(first.received), p.bytes-first.bytes, minSpan
	if first.bytes <= c.idle {
		least = queuedSpan
	}
	if span < least || spread < minSpread {
		return
	}
	measured := float64(spread) / span.Seconds()
	if c.rate == 0 {
		c.rate = measured
		return
	}
	c.rate += gain * (measured - c.rate)
}

func (c *Controller) measuringWindow() time.Duration { return max(rateWindow, 2*c.RTT()) }

// RTT is the shortest round trip that was seen lately, acknowledgement included.
func (c *Controller) RTT() time.Duration {
	if d, ok := c.rtt.value(); ok {
		return d
	}
	return defaultRTT
}

// Queueing is how much longer than the shortest the last round trip was, not counting the time that the unit itself took. The
// kernel knows that better: its acknowledgements wait neither for lost packets nor for a busy cloud. What it
// cannot see, beyond a proxy, has to be more to count.
func (c *Controller) Queueing() time.Duration {
	if c.loss.sampledAt.IsZero() || c.queueing > farQueueing {
		return c.queueing
	}
	return c.loss.queueing
}

// Rate is what the path carries, in bytes per second; 0 if that is not known, because the path was never seen at its limit.
func (c *Controller) Rate() float64 { return c.rate }

// Forget says that the path may carry more than is known: that is learnt as on a new tunnel.
func (c *Controller) Forget() { c.rate, c.points = 0, c.points[:0] }

// InFlight is the number of payload bytes that were written and not acknowledged.
func (c *Controller) InFlight() int { return int(c.sent - c.acked) }

// Window is how many bytes may be under way.
func (c *Controller) Window() int {
	if c.rate == 0 {
		return initialWindow
	}
	if c.draining && !c.loss.present { // a path that loses packets by itself has no queue to drain
		return c.drained()
	}
	turn := c.RTT() + c.late.usual
	hold := turn + max(c.Backlog, turn/2)
	window := minWindow + int(c.rate*hold.Seconds())
	if c.loss.present {
		return max(window, lossWindow)
	}
	return window
}

// drained is how many bytes under way leave no backlog: half of what the path holds, but some for paths that hold next to nothing.
func (c *Controller) drained() int {
	some := min(minWindow, int(c.rate/10))
	return max(leastDrained, some, int(c.rate*c.RTT().Seconds()/2))
}

// MaySend says whether the path has room. A unit is not split, so what is under way exceeds the window by at most one.
func (c *Controller) MaySend() bool { return c.InFlight() < c.Window() }

// Silent is for how long something has been under way without any acknowledgement.
func (c *Controller) Silent(now time.Time) time.Duration {
	if c.InFlight() == 0 {
		return 0
	}
	since := c.busySince
	if c.ackedAt.After(since) {
		since = c.ackedAt
	}
	return max(now.Sub(since), 0)
}

// Stalled says that nothing gets through: the path has been silent for longer than it may be.
func (c *Controller) Stalled(now time.Time) bool { return c.Silent(now) > c.patience() }

func (c *Controller) patience() time.Duration { return c.measuringWindow() + c.RTT() }

// Delay is how long it takes until so many more bytes, behind what is under way, have arrived. A path that has fallen
// silent counts as slower the longer it is.
func (c *Controller) Delay(now time.Time, bytes int) time.Duration {
	rate := c.rate
	silent := c.Silent(now)
	if patience := c.patience(); silent > patience {
		if rate == 0 {
			return silent
		}
		rate *= patience.Seconds() / silent.Seconds()
	}
	if rate == 0 {
		return 0
	}
	// Of what is not acknowledged a round trip's worth is on its way or has its acknowledgement on the way back, or unread.
	rtt := c.RTT().Seconds()
	queued := max(float64(c.InFlight())-rate*(rtt+c.late.usual.Seconds()), 0)
	if c.loss.present {
		queued = min(queued, lossBacklog)
	}
	seconds := (queued+float64(bytes))/rate + rtt/2
	return time.Duration(min(seconds, math.MaxInt64/2/float64(time.Second)) * float64(time.Second))
}

// Starved says whether acknowledgements are read late since this program waits for processor time.
func (c *Controller) Starved(now time.Time) bool {
	return c.late.starved() && now.Sub(c.late.at) <= lateMemory
}

// PacingRate is how fast bytes should leave, in bytes per second; 0 is no limit.
func (c *Controller) PacingRate() float64 {
	if c.rate == 0 || c.loss.present || c.late.starved() {
		return 0
	}
	pace := c.rate * pacingUp
	if c.Queueing() > queueing {
		pace = c.rate * pacingSteady
	}
	return max(pace, minPacing)
}

// minimum is the least of the durations that were added lately: in the present span of rttWindow or the one before.
type minimum struct {
	since     time.Time
	now, last time.Duration
	have      int // 0: none; 1: now; 2: both
}

func (m *minimum) add(at time.Time, d time.Duration) {
	switch {
	case m.have == 0:
		m.since, m.now, m.have = at, d, 1
	case at.Sub(m.since) >= rttWindow:
		m.since, m.last, m.now, m.have = at, m.now, d, 2
	default:
		m.now = min(m.now, d)
	}
}

func (m *minimum) value() (time.Duration, bool) {
	if m.have == 2 {
		return min(m.now, m.last), true
	}
	return m.now, m.have == 1
}
