// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package congestion

import (
	"testing"
	"time"
)

// choice is a Selector with a clock that the test sets, in milliseconds since the beginning.
type choice struct {
	*testing.T
	Selector
	began time.Time
	rate  float64
}

func newChoice(t *testing.T) *choice {
	c := &choice{T: t, Selector: Selector{CalmMin: 30 * time.Second, CalmMax: 5 * time.Minute}, began: time.Now()}
	c.Rest(c.began)
	return c
}

func (c *choice) time(ms int) time.Time { return c.began.Add(time.Duration(ms) * time.Millisecond) }

func (c *choice) drop(ms ...int) {
	for _, at := range ms {
		c.Dropped(c.time(at))
	}
}

func (c *choice) expect(ms int, want Choice) {
	c.Helper()
	if got := c.Look(c.time(ms), c.rate, 0); got != want {
		c.Errorf("at %d ms %v is wanted, not %v", ms, got, want)
	}
}

func (c *choice) switched(ms int, to Choice) { c.Switched(c.time(ms), to, c.rate) }

func TestGivesUpTheMainStream(t *testing.T) {
	for name, tc := range map[string]struct {
		drops []int
		look  int
		want  Choice
	}{
		"nothing":                      {nil, 1000, Main},
		"a GOP of 2 s":                 {[]int{999, 1000, 1500, 2000, 2998}, 2998, Main},
		"three seconds":                {[]int{0, 1000, 2000, 2999}, 2999, Main},
		"four seconds":                 {[]int{0, 1000, 2000, 3000}, 3000, Sub},
		"with pauses":                  {[]int{999, 2000, 4000, 7999}, 7999, Sub},
		"the first is too long ago":    {[]int{999, 2000, 4000, 8000}, 8000, Main},
		"until they are too long ago":  {[]int{0, 1000, 2000, 3000}, 7999, Sub},
		"not when they are":            {[]int{0, 1000, 2000, 3000}, 8000, Main},
		"the same place a lap later":   {[]int{0, 8000, 16000, 24000}, 24000, Main},
		"after a long time of nothing": {[]int{0, 1000, 2000, 3_600_000}, 3_600_000, Main},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChoice(t)
			c.drop(tc.drops...)
			c.expect(tc.look, tc.want)
		})
	}
}

// An outage says nothing about what the path carries.
func TestForgetsDropsOfAnOutage(t *testing.T) {
	c := newChoice(t)
	c.drop(0, 1000, 2000)
	c.Rest(c.time(2500))
	c.drop(3000, 4000, 5000)
	c.expect(5000, Main)
	c.drop(5500)
	c.expect(5500, Sub)
}

func TestComesBackFromTheSubstream(t *testing.T) {
	c := newChoice(t)
	c.switched(1, Sub)
	c.expect(30_000, Sub)
	c.expect(30_001, Main)

	c.drop(30_002) // before anybody has followed
	c.expect(60_001, Sub)
	c.expect(60_002, Main)

	c.Rest(c.time(60_003)) // no tunnel
	c.expect(90_002, Sub)
	c.expect(90_003, Main)
}

func TestQueueOnTheSubstream(t *testing.T) {
	for name, tc := range map[string]struct {
		until int // when the queue that began at 10 s was last seen
		back  int
	}{
		"a burst":  {10_999, 30_000},
		"standing": {11_000, 41_000},
		"longer":   {13_000, 43_000},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChoice(t)
			c.switched(0, Sub)
			c.expect(10_000, Sub)
			for at := 10_001; at <= tc.until; at++ {
				c.Look(c.time(at), 0, standing)
			}
			c.Look(c.time(tc.until+1), 0, standing-1)
			c.expect(tc.back-1, Sub)
			c.expect(tc.back, Main)
		})
	}
}

// Each return to a main stream that does not last takes twice as long as the one before.
func TestReturnsTakeEverLonger(t *testing.T) {
	c := newChoice(t)
	now := 0
	for _, step := range []struct{ calm, lasts int }{
		{30, 29}, {60, 59}, {120, 10}, {240, 10}, {300, 299}, {300, 300}, {30, 29}, {60, 60}, {30, 0},
	} {
		c.switched(now, Sub)
		now += step.calm * 1000
		c.expect(now-1, Sub)
		c.expect(now, Main)
		c.switched(now, Main)
		now += step.lasts * 1000
	}
}

// Where the path is known to be too slow for the main stream, that is tried only to make sure.
func TestPathIsKnownToBeTooSlow(t *testing.T) {
	const main = 1000 // bytes in each millisecond
	for name, tc := range map[string]struct {
		before, after float64
		unknown       bool // the main stream's rate
		back          int
	}{
		"not measured since":   {before: 200e3, after: 200e3, back: 30_000},
		"never measured":       {back: 30_000},
		"forgotten":            {before: 200e3, after: 0, back: 30_000},
		"as slow as before":    {before: 200e3, after: 201e3, back: 300_000},
		"slower":               {before: 200e3, after: 100e3, back: 300_000},
		"not fast enough":      {before: 200e3, after: 299e3, back: 300_000},
		"faster":               {before: 200e3, after: 300e3, back: 30_000},
		"fast enough":          {before: 990e3, after: 1001e3, back: 30_000},
		"who knows for what":   {before: 200e3, after: 201e3, unknown: true, back: 30_000},
		"measured only lately": {after: 201e3, back: 30_000},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChoice(t)
			for at := range 32_500 {
				if !tc.unknown {
					c.Offered(c.time(at), main)
				}
			}
			c.rate = tc.before
			c.switched(32_500, Sub)
			for at := 0; at < tc.back; at += 2500 { // noise
				c.Look(c.time(32_500+at), tc.after+float64(at%5000)/1e6*min(tc.after-tc.before, 1), 0)
			}
			c.rate = tc.after
			c.expect(32_500+tc.back-1, Sub)
			c.expect(32_500+tc.back, Main)
		})
	}
}

func TestFailedSwitch(t *testing.T) {
	c := newChoice(t)
	c.drop(0, 1000, 2000, 3000)
	c.expect(3000, Sub)
	c.Failed(c.time(3000))
	for at := 4000; at <= 40_000; at += 1000 {
		c.drop(at)
		c.expect(at, map[bool]Choice{true: Main, false: Sub}[at < 33_000])
	}
	c.switched(40_000, Sub)
	c.expect(70_000, Main)
	c.Failed(c.time(70_000))
	c.expect(99_999, Sub)
	c.expect(100_000, Main)
}

// On a path that is always too slow an hour sees the main stream a few seconds at a time, and rarely.
func TestHopelessPath(t *testing.T) {
	c := newChoice(t)
	returns := 0
	for at := 0; at < 3_600_000; at += 250 {
		if c.On() == Main {
			c.drop(at)
		}
		if want := c.Look(c.time(at), 0, 0); want != c.On() {
			c.switched(at, want)
			if want == Main {
				returns++
			}
		}
	}
	// After 30, 60, 120 and 240 s and then every 300 s.
	if most := 4 + (3600-450)/300; returns > most {
		t.Errorf("%d returns in an hour, at most %d", returns, most)
	}
}

// FuzzSelector lets anything happen at any time. Whatever it is, the stream is switched at most so often.
func FuzzSelector(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 7, 7, 7, 7})
	f.Add([]byte("\x09\x09\x09\x09\x09\x03\x03\x03\x04\x04\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, trace []byte) {
		s := Selector{CalmMin: 30 * time.Second, CalmMax: 5 * time.Minute}
		now := time.Now()
		var toSub []time.Time
		for _, b := range trace {
			now = now.Add(time.Duration(b>>3) * 200 * time.Millisecond)
			rate := float64(b) * 1000
			switch b & 7 {
			case 0, 1:
				s.Dropped(now)
			case 2:
				s.Offered(now, int(b)*100)
			case 3:
				s.Rest(now)
			case 4:
				if s.On() == Sub { // it has failed
					s.Switched(now, Main, rate)
					s.Failed(now)
				}
			default:
				want := s.Look(now, rate, time.Duration(b)*time.Millisecond)
				if want == s.On() {
					break
				}
				if b == 0xff {
					s.Failed(now)
					break
				}
				if want == Main {
					if d := now.Sub(toSub[len(toSub)-1]); d < s.CalmMin {
						t.Fatalf("back after %v", d)
					}
				} else {
					if n := len(toSub); n > 0 && now.Sub(toSub[n-1]) < s.CalmMin {
						t.Fatalf("away again after %v", now.Sub(toSub[n-1]))
					}
					toSub = append(toSub, now)
				}
				s.Switched(now, want, rate)
			}
			if s.calm > s.CalmMax {
				t.Fatalf("calm time %v", s.calm)
			}
		}
	})
}
