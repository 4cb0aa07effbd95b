// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"testing"
	"time"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/congestion"
)

// simStarved makes a simCamera's edge wait for processor time: it sleeps, and then runs for a moment. The path goes on meanwhile, and
// the kernel sees what there is to see. Its zero value runs always, and has a kernel that says nothing.
type simStarved struct {
	sleep, run int  // steps
	blind      bool // the kernel does not say for how long acknowledgements were there

	kernel   float64 // bytes that it has to send
	queueing float64 // steps, smoothed as the kernel does
}

// write is the camera's, but that the kernel has something to send while the program sleeps: what it takes unsent.
func (s *simStarved) write(c *simCamera, awake bool, room float64) float64 {
	if s.sleep == 0 {
		return c.write(room)
	}
	if r := c.control.PacingRate(); r > 0 {
		room = min(room, r/1000)
	}
	if awake {
		s.kernel += c.take(max(room+unsentBytes-s.kernel, 0))
	}
	in := min(s.kernel, room)
	s.kernel -= in
	return in
}

func (s *simStarved) sleeps(step int) bool { return s.sleep > 0 && step%(s.sleep+s.run) < s.sleep }

// sample is what the kernel does where packets are acknowledged to it.
func (s *simStarved) sample(path *sim) { s.queueing += (path.queued/(path.rate/1000) - s.queueing) / 8 }

// look tells the controller of the kernel, at an acknowledgement.
func (s *simStarved) look(c *simCamera, delay, unread int) {
	if s.sleep == 0 {
		return
	}
	least := time.Duration(2*delay) * time.Millisecond
	sample := congestion.Sample{RTT: least + time.Duration(s.queueing*float64(time.Millisecond)), MinRTT: least}
	if !s.blind {
		sample.Unread = time.Duration(unread) * time.Millisecond
	}
	c.control.Sampled(c.now, sample)
}

// An edge that seldom gets processor time takes that for no fault of the path. Where the path is wide, all arrives; where
// it is not, pictures are current, and more than a controller delivers that is not told.
func TestEdgeIsStarved(t *testing.T) {
	for _, tc := range []struct {
		rate       float64 // of the path, in Mbit/s; the camera has 4
		delay      int
		sleep, run int
		least      float64 // of the pictures
	}{
		{1000, 1, 300, 20, 1}, {1000, 1, 600, 40, 1}, {1000, 1, 900, 50, 1},
		{100, 20, 300, 20, 1}, {100, 20, 600, 40, 1}, {20, 20, 300, 20, 1}, {20, 150, 600, 40, 1},
		{6, 20, 300, 20, 0.95}, {3, 20, 300, 20, 0.5}, {2, 20, 300, 20, 0.1}, {2, 20, 150, 20, 0.35},
	} {
		var shown [2]float64
		for n, blind := range []bool{true, false} {
			s := &sim{delay: tc.delay, limit: 256 << 10, rate: tc.rate * mbit}
			c := s.add(4*mbit, true)
			s.run(t, 5*time.Second)
			c.starved = simStarved{sleep: tc.sleep, run: tc.run, blind: blind}
			s.run(t, 15*time.Second)
			c.phase()
			s.run(t, time.Minute)
			r := c.phase()
			t.Logf("told %5v: %v Mbit/s, RTT %3d ms, runs %2d ms of %3d ms: %s", !blind, tc.rate, 2*tc.delay, tc.run, tc.sleep+tc.run, r)
			shown[n] = float64(len(r.latencies)) / float64(r.pushed)
			if blind {
				continue
			}
			if r.percentile(95) > 2*time.Second {
				t.Errorf("%+v: pictures are %v late", tc, r.percentile(95))
			}
			if tc.least == 1 && r.gaps > 0 {
				t.Errorf("%+v: pictures are missing: %s", tc, r)
			}
		}
		if shown[1] < 0.99*tc.least || shown[1] < shown[0] {
			t.Errorf("%+v: %.2f of the pictures come, %.2f if the controller is not told", tc, shown[1], shown[0])
		}
	}
}
