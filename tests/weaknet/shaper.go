// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package weaknet

import (
	"math/rand/v2"
	"slices"
	"time"
)

// maxFlying bounds the bytes between sender and receiver: 100 Mbit/s for 5 s.
const maxFlying = 64 << 20

// shaper decides which packets of one direction arrive, and when. It knows neither clock nor network: whoever uses it says what
// time it is, never going back.
type shaper struct {
	path     Path
	random   *rand.Rand
	counters Counters

	queue [][]byte  // the first one is being sent
	begun time.Time // when the rest of the first one began being sent
	rest  int       // bytes of the first one from then on

	wire    []flight  // by arrival
	arrival time.Time // of the last packet that must not be overtaken

	losing bool // within a burst of losses
	jitter jitter
}

// flight is a packet on its way.
type flight struct {
	data    []byte
	arrival time.Time
}

func newShaper(path Path, seed, stream uint64) *shaper {
	return &shaper{path: path, random: rand.New(rand.NewPCG(seed, stream))}
}

// set changes the path. The packet that is being sent goes on at the new rate from where it is; those on their way keep their
// arrival.
func (s *shaper) set(now time.Time, path Path) {
	s.advance(now)
	if len(s.queue) > 0 {
		s.rest = max(0, s.rest-s.path.sent(now.Sub(s.begun)))
		s.begun = now
	}
	s.path = path
	for s.counters.Queued.Bytes > int64(path.queueLimit()) {
		last := len(s.queue) - 1
		s.counters.Queued.remove(len(s.queue[last]))
		s.counters.Overflowed.add(len(s.queue[last]))
		s.queue[last] = nil
		s.queue = s.queue[:last]
	}
	s.advance(now)
}

// push takes a packet from the sending host, and keeps it.
func (s *shaper) push(now time.Time, data []byte) {
	s.advance(now)
	s.counters.Offered.add(len(data))
	queued := s.counters.Queued.Bytes + int64(len(data))
	if queued > int64(s.path.queueLimit()) || s.counters.Flying.Bytes+queued > maxFlying {
		s.counters.Overflowed.add(len(data))
		return
	}
	s.counters.Queued.add(len(data))
	s.counters.MaxQueue = max(s.counters.MaxQueue, queued)
	s.queue = append(s.queue, data)
	if len(s.queue) == 1 {
		s.begin(now)
	}
	s.advance(now)
}

// vanish takes note of a packet that somebody else has swallowed.
func (s *shaper) vanish(size int) {
	s.counters.Offered.add(size)
	s.counters.Vanished.add(size)
}

func (s *shaper) begin(at time.Time) { s.begun, s.rest = at, len(s.queue[0]) }

// sendEnd is when the first packet of the queue will have been sent.
func (s *shaper) sendEnd() time.Time { return s.begun.Add(s.path.sendTime(s.rest)) }

// advance sends what has been sent by now.
func (s *shaper) advance(now time.Time) {
	for len(s.queue) > 0 {
		end := s.sendEnd()
		if end.After(now) {
			return
		}
		data := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.counters.Queued.remove(len(data))
		s.fly(end, data)
		if len(s.queue) > 0 {
			s.begin(end)
		}
	}
}

// fly decides about a packet that was sent.
func (s *shaper) fly(at time.Time, data []byte) {
	if s.path.Blackhole {
		s.counters.Vanished.add(len(data))
		return
	}
	if s.lose() {
		s.counters.Lost.add(len(data))
		return
	}
	arrival := at.Add(s.path.Delay)
	if s.path.Reorder {
		arrival = arrival.Add(time.Duration(s.random.Float64() * float64(s.path.Jitter)))
	} else {
		arrival = arrival.Add(s.jitter.at(at, s.path.Jitter, s.random))
		if arrival.Before(s.arrival) {
			arrival = s.arrival
		}
		s.arrival = arrival
	}
	s.counters.Flying.add(len(data))
	i := len(s.wire)
	for i > 0 && s.wire[i-1].arrival.After(arrival) {
		i--
	}
	s.wire = slices.Insert(s.wire, i, flight{data, arrival})
}

// lose draws whether the next packet is lost. Gilbert's model has two states, and loses all packets in one of them; the chances
// of entering and of leaving it follow from the share and the mean length.
func (s *shaper) lose() bool {
	share, draw := s.path.Loss, s.random.Float64()
	switch {
	case share <= 0 || share >= 1:
		s.losing = share >= 1
	case s.path.Burst <= 1:
		s.losing = draw < share
	case s.losing:
		s.losing = draw >= 1/s.path.Burst
	default:
		s.losing = draw < share/(1-share)/s.path.Burst
	}
	return s.losing
}

// release appends to packets what has arrived by now.
func (s *shaper) release(now time.Time, packets [][]byte) [][]byte {
	s.advance(now)
	for len(s.wire) > 0 && !s.wire[0].arrival.After(now) {
		first := s.wire[0]
		s.wire[0] = flight{}
		s.wire = s.wire[1:]
		s.counters.Flying.remove(len(first.data))
		s.counters.Delivered.add(len(first.data))
		s.counters.MaxLate = max(s.counters.MaxLate, now.Sub(first.arrival))
		packets = append(packets, first.data)
	}
	return packets
}

// next is when to ask for packets again: nothing arrives before. It is zero if nothing will.
func (s *shaper) next() time.Time {
	var next time.Time
	if len(s.queue) > 0 {
		next = s.sendEnd().Add(s.path.Delay)
	}
	if len(s.wire) > 0 && (next.IsZero() || s.wire[0].arrival.Before(next)) {
		next = s.wire[0].arrival
	}
	return next
}

// stats says what became of the packets by now.
func (s *shaper) stats(now time.Time) Counters {
	s.advance(now)
	return s.counters
}

// jitter is a delay that moves along a line between values drawn every width. No line is steeper than 1, so that a later packet
// never arrives earlier.
type jitter struct {
	since    time.Time
	from, to float64 // shares of width
}

func (j *jitter) at(now time.Time, width time.Duration, random *rand.Rand) time.Duration {
	if width <= 0 {
		return 0
	}
	switch gone := now.Sub(j.since); {
	case gone >= 2*width: // nothing was sent for long
		j.since, j.from, j.to = now, random.Float64(), random.Float64()
	case gone >= width:
		j.since, j.from, j.to = j.since.Add(width), j.to, random.Float64()
	}
	share := float64(now.Sub(j.since)) / float64(width)
	return time.Duration((j.from + (j.to-j.from)*share) * float64(width))
}
