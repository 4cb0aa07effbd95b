// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/congestion"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/media"
)

const (
	mbit = 1e6 / 8 // bytes per second

	simFPS = 30
	simGOP = 60
	// simAckStep is how far apart the cloud's acknowledgements are, in steps.
	simAckStep = 50
)

// sim is a path and the cameras on it in virtual time, a millisecond a step: bytes leave each writer at its pacing rate, wait
// in one router and arrive a delay later. It stands in for TCP on a link without loss; tests/weaknet has the real one.
type sim struct {
	rate  float64 // of the path, in bytes per second
	delay int     // one way, in steps
	limit float64 // bytes that the router holds; more wait in the writers

	step    int
	cameras []*simCamera
	router  []simBytes
	queued  float64
	transit []simBytes
}

type simBytes struct {
	camera *simCamera
	n      float64
	at     int // step of arrival
}

func (s *sim) add(bitrate float64, on bool) *simCamera {
	c := newSimCamera(bitrate, on)
	s.cameras = append(s.cameras, c)
	return c
}

func (s *sim) run(t *testing.T, d time.Duration) {
	t.Helper()
	for range d.Milliseconds() {
		s.step++
		for n := range s.cameras { // none is always the first
			c := s.cameras[(n+s.step)%len(s.cameras)]
			c.now = time.Unix(0, 0).Add(time.Duration(s.step) * time.Millisecond)
			awake := !c.starved.sleeps(s.step)
			if awake {
				c.shoot()
			}
			if in := c.starved.write(c, awake, s.limit-s.queued); in > 0 {
				s.router = append(s.router, simBytes{camera: c, n: in})
				s.queued += in
			}
		}
		s.forward()
		for _, c := range s.cameras {
			c.starved.sample(s)
			c.arrive(t)
			c.acknowledge(s.step, s.delay)
		}
	}
}

func (s *sim) forward() {
	for out := s.rate / 1000; out > 0 && len(s.router) > 0; {
		b := &s.router[0]
		n := min(out, b.n)
		out, b.n, s.queued = out-n, b.n-n, s.queued-n
		s.transit = append(s.transit, simBytes{b.camera, n, s.step + s.delay})
		if b.n <= 0 {
			s.router = s.router[1:]
		}
	}
	for len(s.transit) > 0 && s.transit[0].at <= s.step {
		s.transit[0].camera.arrived += s.transit[0].n
		s.transit = s.transit[1:]
	}
}

// simCamera is a camera, its queue and its controller. Every second picture is disposable.
type simCamera struct {
	queue   *sendQueue
	control *congestion.Controller
	starved simStarved
	on      bool

	frame, key int // bytes
	now        time.Time
	start      time.Time
	next       uint64
	writing    float64 // bytes of the present unit that the kernel has not taken
	written    float64
	arrived    float64
	underWay   []simUnit
	acks       []simAck
	lastAck    int
	acked      float64
	decoder    decoder
	report     simReport
}

type simUnit struct {
	end   float64
	since time.Time
	unit  *media.AccessUnit
}

type simAck struct {
	at, received int
	bytes        float64
}

// simReport says what a viewer got in a phase.
type simReport struct {
	latencies []time.Duration
	bytes     int
	pushed    int
	gaps      int // how often pictures are missing, however many
	cuts      int // how often what is missing is the end of a GOP
	drops     map[string]int
	maxQueue  int // bytes
	last      time.Time
	freeze    time.Duration // the longest time without a picture
}

func newSimCamera(bitrate float64, on bool) *simCamera {
	c := &simCamera{on: on, control: &congestion.Controller{}, start: time.Unix(0, 0)}
	c.report.drops = map[string]int{}
	perGOP := bitrate * simGOP / simFPS
	c.key = int(perGOP / 5)
	c.frame = int((perGOP - float64(c.key)) / (simGOP - 1))
	cfg := v1alpha1.NewDefaultEdgeDataStream()
	c.queue = newSendQueue(cfg.Queue.Bytes, cfg.Queue.Age.Duration, func(cause string, _ *media.AccessUnit) { c.report.drops[cause]++ })
	c.queue.sentClock, c.decoder.clock = 1, 1
	if on {
		c.control.Backlog = cfg.Congestion.Backlog.Duration
		c.queue.lateness = lateness{delay: c.control.Delay, stalled: c.control.Stalled, most: cfg.Congestion.Latency.Duration, head: cfg.Congestion.HeadWait.Duration}
	}
	return c
}

// shoot makes the pictures of this step.
func (c *simCamera) shoot() {
	for time.Duration(c.next)*time.Second/simFPS <= c.now.Sub(c.start) {
		u := &media.AccessUnit{Sequence: c.next + 1, PTS: int64(c.next), Payload: make([]byte, c.frame)}
		if n := c.next % simGOP; n == 0 {
			u.RandomAccess, u.Payload = true, make([]byte, c.key)
		} else {
			u.Disposable = n%2 == 1
		}
		c.next++
		c.report.pushed++
		c.queue.pushUnit(u, true, 1, c.now)
		c.report.maxQueue = max(c.report.maxQueue, c.queue.bytes)
	}
}

// write returns how many bytes leave in a step.
func (c *simCamera) write(room float64) float64 {
	if r := c.control.PacingRate(); c.on && r > 0 {
		room = min(room, r/1000)
	}
	return c.take(room)
}

// take returns how many bytes the kernel takes, of those that it has room for.
func (c *simCamera) take(room float64) float64 {
	in := 0.0
	for in < room {
		if c.writing <= 0 {
			if c.on && !c.control.MaySend() {
				break
			}
			item, ok := c.queue.pop(c.now)
			if !ok {
				c.control.Idle()
				break
			}
			size := len(item.unit.Payload)
			c.control.Sent(c.now, size)
			c.writing = float64(size)
			c.written += float64(size)
			c.underWay = append(c.underWay, simUnit{c.written, item.since, item.unit})
		}
		n := min(c.writing, room-in)
		c.writing -= n
		in += n
	}
	return in
}

// arrive looks at the pictures that have arrived.
func (c *simCamera) arrive(t *testing.T) {
	t.Helper()
	r := &c.report
	for len(c.underWay) > 0 && c.underWay[0].end <= c.arrived+0.5 {
		u := c.underWay[0].unit
		if u.Sequence != c.decoder.last+1 {
			r.gaps++
			if u.RandomAccess {
				r.cuts++
			}
		}
		c.decoder.take(t, u, 1, simReference(u))
		r.latencies = append(r.latencies, c.now.Sub(c.underWay[0].since))
		r.bytes += len(u.Payload)
		if !r.last.IsZero() {
			r.freeze = max(r.freeze, c.now.Sub(r.last))
		}
		r.last = c.now
		c.underWay = c.underWay[1:]
	}
}

// simReference says what a picture refers to: the last one before it that is not disposable.
func simReference(u *media.AccessUnit) gopUnit {
	if n := (u.Sequence - 1) % simGOP; n%2 == 1 || n == 0 {
		return gopUnit{ref: u.Sequence - 1}
	}
	return gopUnit{ref: u.Sequence - 2}
}

func (c *simCamera) acknowledge(step, delay int) {
	if c.arrived > c.acked && step-c.lastAck >= simAckStep {
		c.lastAck, c.acked = step, c.arrived
		c.acks = append(c.acks, simAck{at: step + delay, received: step, bytes: c.arrived})
	}
	if c.starved.sleeps(step) {
		return
	}
	newest := 0
	for _, a := range c.acks {
		if a.at <= step {
			newest = a.at
		}
	}
	for len(c.acks) > 0 && c.acks[0].at <= step {
		a := c.acks[0]
		c.starved.look(c, delay, step-newest)
		c.acks = c.acks[1:]
		c.control.Acked(c.now, uint64(a.bytes+0.5), time.Unix(1000, 0).Add(time.Duration(a.received)*time.Millisecond))
	}
}

// phase ends the present report and returns it.
func (c *simCamera) phase() simReport {
	r := c.report
	c.report = simReport{drops: map[string]int{}, last: r.last}
	slices.Sort(r.latencies)
	return r
}

func (r simReport) percentile(p int) time.Duration {
	if len(r.latencies) == 0 {
		return math.MaxInt64
	}
	return r.latencies[(len(r.latencies)-1)*p/100]
}

func (r simReport) String() string {
	return fmt.Sprintf("%3d of %3d pictures, p50 %4dms p95 %4dms max %4dms, frozen %5dms, gaps %2d, queue %4d KiB, drops %v", len(r.latencies), r.pushed,
		r.percentile(50).Milliseconds(), r.percentile(95).Milliseconds(), r.percentile(100).Milliseconds(), r.freeze.Milliseconds(), r.gaps, r.maxQueue>>10, r.drops)
}

func onOff(on bool) string {
	if on {
		return "on "
	}
	return "off"
}

// TestPathSteps: 4, then 1, then 4 Mbit/s, for a camera of 3.9. Its key frames alone take 1.5 s of 1 Mbit/s.
func TestPathSteps(t *testing.T) {
	for _, delay := range []int{5, 25, 150} {
		for _, on := range []bool{true, false} {
			s := &sim{delay: delay, limit: 256 << 10}
			c := s.add(3.9*mbit, on)
			phase := func(rate float64, d time.Duration) simReport {
				s.rate = rate * mbit
				s.run(t, d)
				r := c.phase()
				t.Logf("%s RTT %3d ms, %v Mbit/s: %s", onOff(on), 2*delay, rate, r)
				return r
			}
			phase(4, 10*time.Second)
			narrow := phase(1, 20*time.Second)
			phase(4, simRecovery)
			again := phase(4, 20*time.Second)
			if !on {
				if narrow.percentile(95) < 4*time.Second {
					t.Errorf("without congestion control pictures are %v late, there is nothing to improve", narrow.percentile(95))
				}
				continue
			}
			if d := narrow.percentile(95); d > 2*time.Second {
				t.Errorf("RTT %d ms: pictures are %v late", 2*delay, d)
			}
			if narrow.freeze > simInterval+200*time.Millisecond {
				t.Errorf("RTT %d ms: frozen for %v, a key frame comes each %v", 2*delay, narrow.freeze, simInterval)
			}
			if narrow.maxQueue > 256<<10 {
				t.Errorf("RTT %d ms: %d bytes wait", 2*delay, narrow.maxQueue)
			}
			again.whole(t)
		}
	}
}

const (
	simInterval = simGOP * time.Second / simFPS // between random access points
	// simRecovery is how long after a path is wide again the last picture may be missing.
	simRecovery = simInterval + time.Second
)

// whole expects that nothing is missing, and no picture late.
func (r simReport) whole(t *testing.T) {
	t.Helper()
	if r.gaps > 0 || len(r.drops) > 0 {
		t.Errorf("pictures are missing: %s", r)
	}
	if r.percentile(95) > 700*time.Millisecond {
		t.Errorf("pictures are late: %s", r)
	}
}

// Where the path is wide enough the controller does nothing that a viewer could notice.
func TestPathIsWide(t *testing.T) {
	for _, tc := range []struct {
		rate, camera float64
		delay        int
	}{
		{100, 4, 1}, {10, 4, 1}, {4.4, 4, 1}, {6, 4, 25}, {4.4, 4, 25}, {10, 4, 150}, {5, 4, 150}, {10, 1, 150}, {20, 12, 150}, {40, 25, 50}, {1, 0.5, 300},
	} {
		var reports [2]simReport
		for n, on := range []bool{false, true} {
			s := &sim{delay: tc.delay, limit: 256 << 10, rate: tc.rate * mbit}
			c := s.add(tc.camera*mbit, on)
			s.run(t, time.Minute)
			reports[n] = c.phase()
			t.Logf("%s %v of %v Mbit/s, RTT %3d ms: %s", onOff(on), tc.camera, tc.rate, 2*tc.delay, reports[n])
		}
		off, on := reports[0], reports[1]
		if on.gaps > 0 || len(on.drops) > 0 {
			t.Errorf("%v of %v Mbit/s, RTT %d ms: %s", tc.camera, tc.rate, 2*tc.delay, on)
		}
		if on.percentile(95) > off.percentile(95)+100*time.Millisecond {
			t.Errorf("%v of %v Mbit/s, RTT %d ms: %v late, %v without congestion control", tc.camera, tc.rate, 2*tc.delay, on.percentile(95), off.percentile(95))
		}
	}
}

// A router that holds two seconds, on a path that is too narrow for ever: the estimate has to stay what it is.
func TestPathWithDeepQueue(t *testing.T) {
	for _, tc := range []struct {
		rate  float64
		delay int
		late  time.Duration // 95 %
	}{{3.5, 20, time.Second}, {3, 20, 1200 * time.Millisecond}, {3, 150, 1500 * time.Millisecond}, {2, 20, 1500 * time.Millisecond}} {
		for _, on := range []bool{true, false} {
			s := &sim{delay: tc.delay, limit: 2 * tc.rate * mbit, rate: tc.rate * mbit}
			c := s.add(4*mbit, on)
			s.run(t, 5*time.Minute)
			c.phase()
			s.run(t, time.Minute)
			r := c.phase()
			t.Logf("%s %v Mbit/s, RTT %3d ms, after 5 minutes: %s", onOff(on), tc.rate, 2*tc.delay, r)
			if !on {
				if r.percentile(50) < 2*time.Second {
					t.Errorf("without congestion control pictures are %v late, there is nothing to improve", r.percentile(50))
				}
				continue
			}
			if r.percentile(95) > tc.late {
				t.Errorf("%v Mbit/s: pictures are %v late", tc.rate, r.percentile(95))
			}
			if use := float64(r.bytes) / 60 / s.rate; use < 0.9 {
				t.Errorf("%v Mbit/s: %.2f of the path is used", tc.rate, use)
			}
			if e := c.control.Rate() / s.rate; e < 0.6 || e > 1.2 {
				t.Errorf("%v Mbit/s: the estimate is %.2f of the path's rate", tc.rate, e)
			}
			if e := c.control.RTT() - time.Duration(2*tc.delay)*time.Millisecond; e < -time.Millisecond || e > 100*time.Millisecond {
				t.Errorf("%v Mbit/s: the round trip is taken to be %v", tc.rate, c.control.RTT())
			}
		}
	}
}

// Eight seconds of nothing: TCP's own recovery is not in the simulation.
func TestPathBlackout(t *testing.T) {
	for _, delay := range []int{5, 25, 150} {
		for _, on := range []bool{true, false} {
			s := &sim{delay: delay, limit: 256 << 10, rate: 6 * mbit}
			c := s.add(4*mbit, on)
			s.run(t, 10*time.Second)
			c.phase()
			s.rate = 0
			s.run(t, 8*time.Second)
			dark := c.phase()
			s.rate = 6 * mbit
			s.run(t, simRecovery)
			back := c.phase()
			t.Logf("%s RTT %3d ms, the first %v: %s", onOff(on), 2*delay, simRecovery, back)
			s.run(t, 20*time.Second)
			again := c.phase()
			t.Logf("%s RTT %3d ms, behind them:  %s", onOff(on), 2*delay, again)
			if !on {
				continue
			}
			if dark.maxQueue > 2<<20 { // what the queue may hold in time, and a key frame
				t.Errorf("RTT %d ms: %d bytes wait", 2*delay, dark.maxQueue)
			}
			again.whole(t)
		}
	}
}

// The route becomes a longer one: within two windows of the shortest round trip that is known.
func TestPathBecomesLonger(t *testing.T) {
	s := &sim{delay: 5, limit: 256 << 10, rate: 10 * mbit}
	c := s.add(4*mbit, true)
	s.run(t, 20*time.Second)
	c.phase().whole(t)
	s.delay = 150
	s.run(t, 20*time.Second)
	t.Logf("the first 20 s: %s", c.phase())
	s.run(t, time.Minute)
	r := c.phase()
	t.Logf("behind them:    %s", r)
	r.whole(t)
}

// A path that changes all the time: pictures go on, and a GOP is cut at most where the path became narrow.
func TestPathOscillates(t *testing.T) {
	const phases = 20
	for _, on := range []bool{true, false} {
		s := &sim{delay: 25, limit: 256 << 10}
		c := s.add(4*mbit, on)
		for n := range phases {
			s.rate = []float64{6, 2}[n%2] * mbit
			s.run(t, 3*time.Second)
		}
		r := c.phase()
		t.Logf("%s 6 and 2 Mbit/s, 3 s each: %s, cut %d times", onOff(on), r, r.cuts)
		if !on {
			continue
		}
		if r.percentile(95) > 1500*time.Millisecond {
			t.Errorf("pictures are %v late", r.percentile(95))
		}
		if r.freeze > time.Second {
			t.Errorf("frozen for %v", r.freeze)
		}
		if r.cuts > phases {
			t.Errorf("GOPs were cut %d times", r.cuts)
		}
	}
}

// Cameras that share a path get the same of it, whoever came first, and together no less than one alone.
func TestPathIsShared(t *testing.T) {
	for _, tc := range []struct {
		rate, camera float64
		delay        int
		join         time.Duration
		fair, use    float64
	}{
		{3, 2, 25, 0, 0.95, 0.9},
		{3, 2, 25, 700 * time.Millisecond, 0.95, 0.9},
		{3, 2, 25, 10 * time.Second, 0.95, 0.9},
		{4, 4, 10, 10 * time.Second, 0.95, 0.9},
		{6, 4, 10, 10 * time.Second, 0.95, 0.9},
		{6, 4, 150, 10 * time.Second, 0.95, 0.9},
		{10, 4, 25, 10 * time.Second, 0.99, 0.79},
		// Nothing but key frames passes; the path rests while there is none, since the rest of each GOP would be late.
		{3, 4, 25, 0, 0.95, 0.8},
		{3, 4, 25, 10 * time.Second, 0.95, 0.85},
		// One of the two is down to key frames, which is less than its share.
		{4, 4, 150, 10 * time.Second, 0.7, 0.9},
	} {
		var use [3]float64
		for _, n := range []int{1, 2} {
			s := &sim{delay: tc.delay, limit: 256 << 10, rate: tc.rate * mbit}
			s.add(tc.camera*mbit, true)
			s.run(t, tc.join)
			for range n - 1 {
				s.add(tc.camera*mbit, true).start = time.Unix(0, 0).Add(tc.join)
			}
			s.run(t, 10*time.Second)
			for _, c := range s.cameras {
				c.phase()
			}
			s.run(t, 20*time.Second)
			var shares []float64
			for _, c := range s.cameras {
				r := c.phase()
				shares = append(shares, float64(r.bytes))
				use[n] += float64(r.bytes) / 20 / s.rate
				t.Logf("%d of %v on %v Mbit/s, RTT %3d ms, joined after %v: %s", n, tc.camera, tc.rate, 2*tc.delay, tc.join, r)
			}
			if n == 1 {
				continue
			}
			t.Logf("fairness %.3f, use %.3f, alone %.3f", jain(shares), use[2], use[1])
			if jain(shares) < tc.fair {
				t.Errorf("%+v: fairness %.3f", tc, jain(shares))
			}
			if use[2] < tc.use {
				t.Errorf("%+v: together %.3f of the path", tc, use[2])
			}
		}
	}
}

// jain is Jain's index of fairness: 1 where all get the same, 1/n where one gets everything.
func jain(x []float64) float64 {
	var sum, squares float64
	for _, v := range x {
		sum += v
		squares += v * v
	}
	return sum * sum / (float64(len(x)) * squares)
}
