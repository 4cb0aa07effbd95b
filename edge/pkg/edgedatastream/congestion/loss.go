// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package congestion

import "time"

const (
	// lossMemory is how long a retransmission shows that the path loses packets.
	lossMemory = 2 * time.Second
	// lossWindow may be under way where packets are lost, in bytes: until a lost packet has come, what is behind it counts as
	// under way, and what was measured meanwhile says nothing. The path does not queue, so that more does no harm.
	lossWindow = 512 << 10
	// lossBacklog is how much of that can be waiting, in bytes: what the kernel takes beyond what it can send. To forecast more would
	// keep from the path the very bytes that show what it carries.
	lossBacklog = 32 << 10
)

// Sample is what the kernel knows of a connection. Unlike the cloud's acknowledgements, which come in the order of
// the bytes, its round trips do not include the wait for lost packets.
type Sample struct {
	// RTT is the smoothed round-trip time, MinRTT the shortest.
	RTT, MinRTT time.Duration
	// Unread is for how long the newest acknowledgement of the cloud had been there when it was read.
	Unread time.Duration
	// Retransmits counts segments that were sent again since the connection began, Needless those of them that had not been
	// lost: TCP sends again what is not acknowledged in time, and a busy machine acknowledges late.
	Retransmits, Needless uint32
}

// lost is how many segments were lost since the connection began.
func (s Sample) lost() uint32 { return s.Retransmits - min(s.Needless, s.Retransmits) }

// loss tells a path that loses packets by itself from one that drops them because it is full: the latter queues.
type loss struct {
	lost      uint32    // the most that there were; that one was needless shows a round trip later
	seen      time.Time // when there last were more
	present   bool
	since     time.Time
	sampledAt time.Time
	queueing  time.Duration
}

// Sampled takes note of what the kernel knows when an acknowledgement was read, before Acked says what that was.
func (c *Controller) Sampled(now time.Time, s Sample) {
	c.loss.sampled(now, s)
	c.late.sampled(now, s.Unread)
}

// Lossy is for how long the path has been losing packets though it does not queue.
func (c *Controller) Lossy(now time.Time) time.Duration {
	if !c.loss.present {
		return 0
	}
	return now.Sub(c.loss.since)
}

func (l *loss) sampled(now time.Time, s Sample) {
	if now.Sub(l.sampledAt) > lossMemory { // an outage: what was sent again for it says nothing about losses
		*l = loss{lost: s.lost()}
	}
	if n := s.lost(); n > l.lost {
		l.lost, l.seen = n, now
	}
	l.sampledAt, l.queueing = now, max(s.RTT-s.MinRTT, 0)
	was := l.present
	l.present = !l.seen.IsZero() && now.Sub(l.seen) < lossMemory && l.queueing < max(queueing, s.MinRTT/4)
	if l.present && !was {
		l.since = now
	}
}
