// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package congestion

import "time"

// Choice is one of the two streams that a source may offer.
type Choice int

// The streams: Sub is the smaller one.
const (
	Main Choice = iota
	Sub
)

// String names the stream, as metrics and logs do.
func (c Choice) String() string {
	if c == Sub {
		return "sub"
	}
	return "main"
}

const (
	// The main stream is too much for the path when video was dropped in badSeconds of the last spanSeconds. One drop makes up to 3
	// such seconds where GOPs have 2 s, since the rest of the GOP goes with it: that alone is not enough. Where a longer
	// GOP makes more of them, the picture stands still so long that the other stream shows one sooner.
	spanSeconds = 8
	badSeconds  = 4

	// standing is how long what is sent may queue on the path, for at most standingTime, without being trouble. A burst
	// queues too, but not for long.
	standing     = 100 * time.Millisecond
	standingTime = time.Second

	// faster is by how much the path's measured rate has to grow while the substream is on to count as another path. The substream fills
	// it only in bursts, so the estimate need not reach the main stream's rate.
	faster = 1.5
	// fresh is how long a measurement counts. A slow path is measured anew with each key frame of the substream, a fast one
	// takes that in without one.
	fresh = 15 * time.Second
)

// Selector says which of two streams a path should carry. The main one is given up after sustained drops, and tried again when
// the substream has gone through calmly for a while. That while doubles, up to CalmMax, with each return to a main stream that does
// not last as long as it; so a path that is simply too slow sees a try ever more rarely. Like Controller it knows no clock: whoever
// uses it says when things happen, in order. It is not safe for concurrent use.
type Selector struct {
	// CalmMin and CalmMax bound how long the substream has to go through calmly before the main stream is tried again. CalmMin is also the
	// wait after a switch that came to nothing.
	CalmMin, CalmMax time.Duration

	on        Choice
	since     time.Time     // when this stream took over
	notBefore time.Time     // when a switch may be tried again
	calm      time.Duration // what the next return takes; 0 before the first switch

	// Of the main stream, while it is on: its last seconds.
	from    time.Time // when they were last forgotten
	newest  int64     // number of the newest one
	seconds [spanSeconds]second

	// Of the substream, while it is on.
	trouble      time.Time // the last
	low          time.Time // when the path last did not queue
	measured     time.Time // when the path's rate was last another one; zero: not since the switch
	mainRate     float64   // what the main stream took, in bytes per second, 0 if unknown
	rate         float64   // the path's, when it was last known
	rateAtSwitch float64
}

type second struct {
	bytes   int
	dropped bool
}

// On is the stream that is on.
func (s *Selector) On() Choice { return s.on }

// Offered says that the stream that is on has so many bytes for the path.
func (s *Selector) Offered(now time.Time, bytes int) { s.at(now).bytes += bytes }

// Dropped says that video of the stream that is on was dropped because the path is too slow for it.
func (s *Selector) Dropped(now time.Time) {
	s.at(now).dropped = true
	s.trouble = now
}

// Rest says that nothing can be learnt at present, because nothing is sent or nothing gets through: what a path carries that has
// no outage was not seen yet.
func (s *Selector) Rest(now time.Time) {
	s.from, s.newest, s.seconds = now, 0, [spanSeconds]second{}
	s.trouble, s.low = now, now
}

// Look says which stream is wanted. rate is what the path carries in bytes per second, 0 if unknown, and queueing how long bytes queue on it
// (see Controller). It is to be called several times a second.
func (s *Selector) Look(now time.Time, rate float64, queueing time.Duration) Choice {
	s.at(now)
	if queueing < standing {
		s.low = now
	} else if now.Sub(s.low) >= standingTime {
		s.trouble = now
	}
	if rate > 0 && rate != s.rate {
		s.rate, s.measured = rate, now
	}
	switch {
	case now.Before(s.notBefore):
		return s.on
	case s.on == Main && s.bad() >= badSeconds:
		return Sub
	case s.on == Sub && now.Sub(s.trouble) >= s.wait(now):
		return Main
	default:
		return s.on
	}
}

// Switched says that this stream has come in the other's place. rate is as for Look.
func (s *Selector) Switched(now time.Time, to Choice, rate float64) {
	if to == Sub {
		if s.calm > 0 && now.Sub(s.since) < s.calm {
			s.calm = min(2*s.calm, s.CalmMax)
		} else {
			s.calm = s.CalmMin
		}
		s.mainRate, s.rateAtSwitch = s.offered(now), rate
	}
	s.on, s.since = to, now
	s.rate, s.measured = rate, time.Time{}
	s.Rest(now)
}

// Failed says that the other stream could not be had, or did not last.
func (s *Selector) Failed(now time.Time) { s.notBefore = now.Add(s.CalmMin) }

// wait is how long the substream has to go through calmly. Where the path was measured and is still as slow, the main stream would not fit; but
// estimates can be wrong, so it is tried some day.
func (s *Selector) wait(now time.Time) time.Duration {
	if now.Sub(s.measured) < fresh && s.rate < s.mainRate && s.rate < faster*s.rateAtSwitch {
		return s.CalmMax
	}
	return s.calm
}

// at returns the present second, having forgotten those that are too old.
func (s *Selector) at(now time.Time) *second {
	if s.from.IsZero() {
		s.Rest(now)
	}
	n := max(int64(now.Sub(s.from)/time.Second), s.newest)
	for i := range min(n-s.newest, spanSeconds) {
		s.seconds[(n-i)%spanSeconds] = second{}
	}
	s.newest = n
	return &s.seconds[n%spanSeconds]
}

// bad is in how many of the last seconds video was dropped.
func (s *Selector) bad() int {
	n := 0
	for _, sec := range s.seconds {
		if sec.dropped {
			n++
		}
	}
	return n
}

// offered is how many bytes per second the stream that is on had lately, 0 if that is not known.
func (s *Selector) offered(now time.Time) float64 {
	s.at(now)
	if s.newest == 0 {
		return 0
	}
	bytes := 0
	for _, sec := range s.seconds {
		bytes += sec.bytes
	}
	// All but the present one are whole seconds.
	whole := min(s.newest, spanSeconds-1)
	return float64(bytes) / (now.Sub(s.from) - time.Duration(s.newest-whole)*time.Second).Seconds()
}
