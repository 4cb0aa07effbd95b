// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package weaknet

import "time"

// MTU is the size of the largest packet that the hosts send: IP header, TCP header and payload.
const MTU = 1500

// Rates, in bits a second.
const (
	Kbit = 1_000
	Mbit = 1_000_000
)

// Path is one direction of a link. A packet waits in a queue, is sent at the link's rate, may be lost on the way, and arrives
// after a delay. The zero value carries everything at once.
type Path struct {
	// Rate is in bits a second of IP packets; 0 is without limit.
	Rate int
	// Queue bounds what waits to be sent, in bytes with the packet that is being sent; what does not fit is dropped. It is at
	// least one MTU; 0 is what the rate sends in 100 ms, at least ten MTUs.
	Queue int
	// Delay is from the end of sending to arrival.
	Delay time.Duration
	// Jitter is added to the delay: between nothing and this much, evenly.
	Jitter time.Duration
	// Reorder draws the jitter for each packet anew, so that packets overtake each other. Without it, the delay moves
	// smoothly between values drawn every Jitter, and order is kept.
	Reorder bool
	// Loss is the share of packets that are lost after they were sent, from 0 to 1.
	Loss float64
	// Burst is the mean number of packets lost in a row (Gilbert's model); up to 1 each is lost by itself.
	Burst float64
	// Blackhole makes everything vanish that ends being sent. Nobody is told, and the queue goes on draining.
	Blackhole bool
}

func (p Path) queueLimit() int {
	if p.Queue != 0 {
		return max(p.Queue, MTU)
	}
	return max(p.Rate/8/10, 10*MTU)
}

// sendTime is how long that many bytes take at the rate.
func (p Path) sendTime(bytes int) time.Duration {
	if p.Rate <= 0 {
		return 0
	}
	return time.Duration(int64(bytes) * 8 * int64(time.Second) / int64(p.Rate))
}

// sent is how many bytes go in that time at the rate.
func (p Path) sent(d time.Duration) int {
	return int(int64(d) / 1000 * int64(p.Rate) / 8_000_000)
}

// Count counts packets and their bytes, IP headers included.
type Count struct{ Packets, Bytes int64 }

func (c *Count) add(bytes int) {
	c.Packets++
	c.Bytes += int64(bytes)
}

func (c *Count) remove(bytes int) {
	c.Packets--
	c.Bytes -= int64(bytes)
}

// Counters say what became of the packets of one direction. Offered is always the sum of Delivered, Overflowed, Lost,
// Vanished, Queued and Flying.
type Counters struct {
	Offered    Count // handed to the link by the sending host
	Delivered  Count // handed to the receiving host
	Overflowed Count // dropped because the queue was full
	Lost       Count // by Path.Loss
	Vanished   Count // by Path.Blackhole or Forget
	Queued     Count // waits, or is being sent, now
	Flying     Count // sent and not arrived, now
	// MaxQueue is the most bytes that ever were in the queue.
	MaxQueue int64
	// MaxLate is the most that a packet was delivered after its time: how far the machine kept up with the link.
	MaxLate time.Duration
}

// Stats are the counters of both directions.
type Stats struct{ Up, Down Counters }
