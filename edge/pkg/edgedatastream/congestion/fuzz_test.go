// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package congestion

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// FuzzController lets a tunnel's events come in any order with any numbers, nine bytes each: what, and a number. Behind them
// the path is wide and calm, and the controller has to find that out.
func FuzzController(f *testing.F) {
	event := func(what byte, n int64) []byte { return binary.BigEndian.AppendUint64([]byte{what}, uint64(n)) }
	var busy []byte
	for range 4 {
		for _, e := range [][]byte{event(0, 20000), event(0, 5000), event(4, int64(50*ms)), event(1, 20000)} {
			busy = append(busy, e...)
		}
	}
	f.Add(busy)
	f.Add(append(append([]byte{}, busy...), event(4, int64(time.Hour))...))
	f.Add(append(append(event(6, math.MinInt64), busy...), event(6, math.MaxInt64)...))
	f.Fuzz(func(t *testing.T, events []byte) {
		tr := newTrace(t)
		for n := 0; len(events) >= 9 && n < 1000; n++ {
			number := int64(binary.BigEndian.Uint64(events[1:9]))
			switch events[0] % 9 {
			case 0:
				tr.send(1, 1+int(uint64(number)%(4<<20)))
			case 1: // something arrives
				tr.ack(min(uint64(number), tr.sent-tr.bytes))
			case 2:
				tr.ack(tr.sent - tr.bytes)
			case 3:
				tr.Idle()
			case 4: // up to a day
				tr.wait(time.Duration(uint64(number) % uint64(24*time.Hour)))
			case 5: // bogus, if it is more than was sent
				if n := uint64(number); n > tr.sent || n < tr.bytes {
					tr.Acked(tr.now, n, tr.now)
				}
			case 6: // the cloud's clock is set
				tr.cloud = time.Duration(number)
			case 7: // an acknowledgement that says nothing new, of any time
				tr.Acked(tr.now, tr.bytes, time.UnixMicro(number))
			case 8:
				tr.Sampled(tr.now, Sample{
					RTT: time.Duration(number >> 32), MinRTT: time.Duration(uint32(number)), Unread: time.Duration(uint16(number)) * ms,
					Retransmits: uint32(number >> 16), Needless: uint32(number >> 24),
				})
			}
			events = events[9:]
			tr.invariants()
		}
		tr.cloud = 0
		tr.calm()
	})
}

// invariants hold whatever has happened.
func (t *trace) invariants() {
	t.Helper()
	if t.InFlight() != int(t.sent-t.bytes) || t.InFlight() < 0 {
		t.Fatalf("%d bytes under way, want %d", t.InFlight(), t.sent-t.bytes)
	}
	least := minWindow
	if t.draining {
		least = leastDrained
	}
	if w := t.Window(); w < least || t.InFlight() == 0 && !t.MaySend() {
		t.Fatalf("window %d", w)
	}
	for _, v := range []float64{t.Rate(), t.PacingRate()} {
		if !(v >= 0) || math.IsInf(v, 0) {
			t.Fatalf("rate %f, pacing rate %f", t.Rate(), t.PacingRate())
		}
	}
	if t.RTT() < 0 || t.Queueing() < 0 || t.Silent(t.now) < 0 {
		t.Fatalf("round trip %v, queueing %v, silence %v", t.RTT(), t.Queueing(), t.Silent(t.now))
	}
	last := time.Duration(0)
	for _, bytes := range []int{0, 1, 100, 10000, 1 << 20, 1 << 40, math.MaxInt64} {
		d := t.Delay(t.now, bytes)
		if d < last {
			t.Fatalf("delay %v for %d bytes, %v for less", d, bytes, last)
		}
		last = d
	}
	if len(t.marks) > maxMarks || len(t.points) > maxPoints {
		t.Fatalf("%d units and %d acknowledgements are remembered", len(t.marks), len(t.points))
	}
}

// calm is a path of 1 MB/s with a round trip of 40 ms and a writer that has 5 kB each 20 ms: a quarter of it.
func (t *trace) calm() {
	t.wait(rttWindow)
	t.ack(t.sent - t.bytes) // what was under way gets through
	var acks []uint64
	waiting, blocked := 0, 0
	begin := t.now
	for step := range 30000 {
		t.now = begin.Add(time.Duration(step) * ms)
		if step%1000 == 0 && !t.loss.sampledAt.IsZero() {
			t.Sampled(t.now, Sample{RTT: 45 * ms, MinRTT: 40 * ms, Retransmits: t.loss.lost})
		}
		if step%20 == 0 {
			waiting += 5000
		}
		for waiting > 0 && t.MaySend() {
			t.send(1, 5000)
			waiting -= 5000
		}
		if waiting == 0 {
			t.Idle()
		} else if step > 25000 {
			blocked++
		}
		acks = append(acks, t.sent)
		if step%50 == 49 {
			t.ack(acks[step-40] - t.bytes)
			t.invariants()
		}
	}
	if blocked > 500 || waiting > 50000 {
		t.Fatalf("the writer is blocked for %d ms of 5 s, %d bytes wait; rate %f, round trip %v, window %d", blocked, waiting, t.Rate(), t.RTT(), t.Window())
	}
}
