// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import "time"

// clockSpan is for how long, at least, the quickest picture counts. It is longer than most times that a path is full without a break, and short
// enough for a clock that was set, or that gains 50 µs a second.
const clockSpan = time.Minute

// captureClock finds how late pictures are, though capture times are by the edge's clock and that need not agree with this one's. The quickest
// picture of the last minute or two has met no queue: it took half of the least round-trip time. By how much others were slower does not depend on
// the clocks. So what is always there counts as half a round trip: a queue that never empties, time that each picture waits at the edge.
type captureClock struct {
	since     time.Time
	now, last time.Duration // the least seen in this span, and in the one before
	spans     int           // 0: none yet; 1: now; 2: both
}

// maxLate bounds by how much a picture is late. What seems to be later has a wrong time, and must not spoil sums over all streams.
const maxLate = time.Minute

// latency takes a picture's times and says how long it was under way. trip is the path's least round-trip time. The result is never negative.
func (c *captureClock) latency(captured, arrived time.Time, trip time.Duration) time.Duration {
	seen := arrived.Sub(captured)
	switch {
	case c.spans == 0:
		c.since, c.now, c.spans = arrived, seen, 1
	case arrived.Sub(c.since) >= clockSpan:
		c.since, c.last, c.now, c.spans = arrived, c.now, seen, 2
	default:
		c.now = min(c.now, seen)
	}
	late := seen - c.least()
	if late < 0 || late > maxLate { // negative: an overflow, the edge names any time
		late = maxLate
	}
	return late + trip/2
}

// ahead is how far the edge's clock is ahead of this one's, and whether that is known.
func (c *captureClock) ahead(trip time.Duration) (time.Duration, bool) {
	return trip/2 - c.least(), c.spans > 0
}

func (c *captureClock) least() time.Duration {
	if c.spans == 2 {
		return min(c.now, c.last)
	}
	return c.now
}
