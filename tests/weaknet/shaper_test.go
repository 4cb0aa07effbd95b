// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package weaknet

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

var epoch = time.Unix(0, 0)

func at(d time.Duration) time.Time { return epoch.Add(d) }

// arrival is a packet that came out of a shaper, and when.
type arrival struct {
	id   int
	when time.Duration
}

// drain takes packets until nothing is due any more, or the time is over.
func drain(s *shaper, until time.Duration) []arrival {
	var arrivals []arrival
	for {
		next := s.next()
		if next.IsZero() || next.After(at(until)) {
			return arrivals
		}
		for _, packet := range s.release(next, nil) {
			arrivals = append(arrivals, arrival{int(binary.BigEndian.Uint32(packet)), next.Sub(epoch)})
		}
	}
}

// packet makes one of at least 4 bytes.
func packet(id, size int) []byte {
	p := make([]byte, size)
	binary.BigEndian.PutUint32(p, uint32(id))
	return p
}

func checkArrivals(t *testing.T, got []arrival, want ...arrival) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("arrivals %v, want %v", got, want)
	}
}

const ms = time.Millisecond

func TestRateAndDelay(t *testing.T) {
	s := newShaper(Path{Rate: 8 * Mbit, Delay: 20 * ms}, 0, 0) // 1000 bytes a millisecond
	s.push(at(0), packet(1, 1000))
	s.push(at(0), packet(2, 500))
	s.push(at(1200*time.Microsecond), packet(3, 1000)) // waits for the second
	s.push(at(10*ms), packet(4, 1000))                 // finds the link free
	checkArrivals(t, drain(s, time.Hour), arrival{1, 21 * ms}, arrival{2, 21*ms + 500*time.Microsecond},
		arrival{3, 22*ms + 500*time.Microsecond}, arrival{4, 31 * ms})
}

func TestUnlimited(t *testing.T) {
	s := newShaper(Path{}, 0, 0)
	s.push(at(5*ms), packet(1, MTU))
	s.push(at(5*ms), packet(2, MTU))
	checkArrivals(t, drain(s, time.Hour), arrival{1, 5 * ms}, arrival{2, 5 * ms})
}

func TestQueueDropsTail(t *testing.T) {
	s := newShaper(Path{Rate: 8 * Mbit, Queue: 3000}, 0, 0)
	for id := range 5 {
		s.push(at(0), packet(id, 1000))
	}
	s.push(at(ms), packet(5, 1000)) // the first one is gone by now
	checkArrivals(t, drain(s, time.Hour), arrival{0, ms}, arrival{1, 2 * ms}, arrival{2, 3 * ms}, arrival{5, 4 * ms})
	c := s.stats(at(time.Hour))
	if c.Overflowed != (Count{2, 2000}) || c.MaxQueue != 3000 || c.Delivered != (Count{4, 4000}) {
		t.Errorf("counters %+v", c)
	}
}

func TestStepWithinAPacket(t *testing.T) {
	s := newShaper(Path{Rate: 8 * Mbit}, 0, 0)
	s.push(at(0), packet(1, 1000))
	s.push(at(0), packet(2, 1000))
	s.set(at(500*time.Microsecond), Path{Rate: 800 * Kbit}) // half of the first is left
	checkArrivals(t, drain(s, 10*ms), arrival{1, 5*ms + 500*time.Microsecond})
	s.set(at(10*ms), Path{}) // no limit: the rest is sent at once
	checkArrivals(t, drain(s, time.Hour), arrival{2, 10 * ms})
}

func TestStepKeepsOrder(t *testing.T) {
	s := newShaper(Path{Delay: 300 * ms}, 0, 0)
	s.push(at(0), packet(1, 100))
	s.set(at(ms), Path{Delay: 20 * ms})
	s.push(at(2*ms), packet(2, 100))
	checkArrivals(t, drain(s, time.Hour), arrival{1, 300 * ms}, arrival{2, 300 * ms})
}

func TestShrunkQueueDropsTail(t *testing.T) {
	s := newShaper(Path{Rate: 8 * Mbit, Queue: 9000}, 0, 0)
	for id := range 9 {
		s.push(at(0), packet(id, 1000))
	}
	s.set(at(ms), Path{Rate: 8 * Mbit, Queue: 2000})
	checkArrivals(t, drain(s, time.Hour), arrival{0, ms}, arrival{1, 2 * ms}, arrival{2, 3 * ms})
	if c := s.stats(at(time.Hour)); c.Overflowed.Packets != 6 {
		t.Errorf("%d packets dropped, want 6", c.Overflowed.Packets)
	}
}

func TestBlackholeTakesWhatIsSent(t *testing.T) {
	s := newShaper(Path{Rate: 8 * Mbit, Delay: 20 * ms}, 0, 0)
	s.push(at(0), packet(1, 1000))
	s.push(at(0), packet(2, 1000))
	s.push(at(0), packet(3, 1000))
	s.set(at(ms), Path{Rate: 8 * Mbit, Delay: 20 * ms, Blackhole: true})
	s.set(at(2*ms), Path{Rate: 8 * Mbit, Delay: 20 * ms})
	checkArrivals(t, drain(s, time.Hour), arrival{1, 21 * ms}, arrival{3, 23 * ms})
	if c := s.stats(at(time.Hour)); c.Vanished != (Count{1, 1000}) {
		t.Errorf("vanished %+v", c.Vanished)
	}
}

func TestLossAndBursts(t *testing.T) {
	for _, path := range []Path{{Loss: 0.02}, {Loss: 0.02, Burst: 5}, {Loss: 0.3, Burst: 3}, {Loss: 0}, {Loss: 1, Burst: 2}} {
		s := newShaper(path, 1, 0)
		const packets = 200_000
		var lost, bursts int
		for before := false; s.counters.Offered.Packets < packets; {
			count := s.counters.Lost.Packets
			s.push(epoch, packet(0, 4))
			now := s.counters.Lost.Packets > count
			if now {
				lost++
				if !before {
					bursts++
				}
			}
			before = now
			s.release(epoch, nil)
		}
		if share := float64(lost) / packets; share < path.Loss*0.9 || share > path.Loss*1.1 {
			t.Errorf("%+v: lost %.4f", path, share)
		}
		if path.Burst == 0 || path.Loss == 1 {
			continue
		}
		if mean := float64(lost) / float64(bursts); mean < path.Burst*0.9 || mean > path.Burst*1.1 {
			t.Errorf("%+v: %.2f lost in a row", path, mean)
		}
	}
}

func TestSeedRepeats(t *testing.T) {
	run := func(seed uint64) []arrival {
		s := newShaper(Path{Delay: 20 * ms, Jitter: 10 * ms, Reorder: true, Loss: 0.3}, seed, 1)
		for id := range 100 {
			s.push(at(time.Duration(id)*ms), packet(id, 100))
		}
		return drain(s, time.Hour)
	}
	if !slices.Equal(run(1), run(1)) {
		t.Error("the same seed, another run")
	}
	if slices.Equal(run(1), run(2)) {
		t.Error("another seed, the same run")
	}
}

func TestJitter(t *testing.T) {
	const delay, width, packets = 50 * ms, 20 * ms, 10_000
	for _, reorder := range []bool{false, true} {
		s := newShaper(Path{Delay: delay, Jitter: width, Reorder: reorder}, 1, 0)
		var sent []time.Duration
		var arrivals []arrival
		now := time.Duration(0)
		for id := range packets {
			now += ms
			if id%100 == 99 {
				now += 5 * width // a pause
			}
			arrivals = append(arrivals, drain(s, now)...)
			s.push(at(now), packet(id, 100))
			sent = append(sent, now)
		}
		arrivals = append(arrivals, drain(s, time.Hour)...)
		least, most, overtaken := time.Hour, time.Duration(0), 0
		for i, a := range arrivals {
			took := a.when - sent[a.id]
			least, most = min(least, took), max(most, took)
			if i > 0 && a.id < arrivals[i-1].id {
				overtaken++
			}
		}
		if len(arrivals) != packets || least < delay || most > delay+width || most-least < width*9/10 {
			t.Errorf("reorder %t: %d packets took %v to %v, want the whole of %v to %v", reorder, len(arrivals), least, most, delay, delay+width)
		}
		if (overtaken > 0) != reorder {
			t.Errorf("reorder %t: %d packets were overtaken", reorder, overtaken)
		}
	}
}

// FuzzShaper does what the input says to a shaper: whatever path follows whatever path, no packet is forgotten, and neither queue
// nor rate is exceeded.
func FuzzShaper(f *testing.F) {
	f.Add(uint64(1), []byte("\x00\xff\x01\x10\x02\x03\x00\x80\x03\x77\x01\x05"))
	f.Fuzz(func(t *testing.T, seed uint64, ops []byte) {
		path := Path{Rate: Mbit, Queue: 10 * MTU}
		s := newShaper(path, seed, 0)
		now, id, last := time.Duration(0), 0, -1
		allowed := 0.0 // bytes that the rate has let through
		for len(ops) >= 2 {
			op, value := ops[0], int(ops[1])
			ops = ops[2:]
			switch op % 4 {
			case 0, 1:
				s.push(at(now), packet(id, 4+value*5))
				id++
			case 2:
				step := time.Duration(value) * 100 * time.Microsecond
				now += step
				allowed += float64(path.Rate) / 8 * step.Seconds()
				for _, p := range s.release(at(now), nil) {
					got := int(binary.BigEndian.Uint32(p))
					if got <= last {
						t.Fatalf("packet %d after packet %d", got, last)
					}
					last = got
				}
			case 3:
				path = Path{
					Rate: (1 + value%16) * 100 * Kbit, Queue: (1 + value%7) * MTU, Delay: time.Duration(value%5) * 10 * ms,
					Jitter: time.Duration(value%3) * 5 * ms, Loss: float64(value%4) / 10, Burst: float64(value % 6), Blackhole: value%9 == 0,
				}
				s.set(at(now), path)
			}
			c := s.stats(at(now))
			if c.Queued.Bytes > int64(path.queueLimit()) || c.MaxQueue > 10*MTU {
				t.Fatalf("queue of %d bytes (most %d), bound %d", c.Queued.Bytes, c.MaxQueue, path.queueLimit())
			}
			if done := c.Delivered.Bytes + c.Overflowed.Bytes + c.Lost.Bytes + c.Vanished.Bytes + c.Queued.Bytes + c.Flying.Bytes; done != c.Offered.Bytes {
				t.Fatalf("%d bytes offered, %d accounted for: %+v", c.Offered.Bytes, done, c)
			}
			if sent := c.Delivered.Bytes + c.Lost.Bytes + c.Vanished.Bytes + c.Flying.Bytes; float64(sent) > allowed+1 {
				t.Fatalf("%d bytes sent, the rate allows %.0f", sent, allowed)
			}
		}
	})
}
