// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package congestion

import (
	"testing"
	"time"
)

// A path that loses packets counts as lossy while it does not queue, and two seconds longer than it loses any.
func TestLossy(t *testing.T) {
	tr := newTrace(t)
	tr.rate = 200000
	tr.rtt.add(tr.now, 50*ms)
	full := tr.Window()
	sample := func(rtt, least time.Duration, retransmits uint32) {
		tr.Sampled(tr.now, Sample{RTT: rtt, MinRTT: least, Retransmits: retransmits})
	}
	expectLossy := func(want time.Duration) {
		t.Helper()
		expect(tr, "time of losses", tr.Lossy(tr.now), want)
		window := full
		if tr.loss.present {
			window = max(full, lossWindow)
		}
		expect(tr, "window", tr.Window(), window)
	}
	sample(60*ms, 50*ms, 0)
	tr.wait(time.Second)
	expectLossy(0)
	sample(60*ms, 50*ms, 3)
	expectLossy(0)
	tr.wait(time.Second)
	sample(99*ms, 50*ms, 4)
	expectLossy(time.Second)
	tr.draining = true
	expectLossy(time.Second)
	tr.draining = false
	tr.wait(1999 * ms)
	sample(60*ms, 50*ms, 4)
	expectLossy(2999 * ms)
	tr.wait(1 * ms)
	sample(60*ms, 50*ms, 4)
	expectLossy(0)

	sample(100*ms, 50*ms, 9) // it queues: those are the queue's losses
	tr.wait(time.Second)
	expectLossy(0)
	sample(374*ms, 300*ms, 10) // on a long path it takes a quarter of it
	tr.wait(time.Second)
	expectLossy(time.Second)
	sample(375*ms, 300*ms, 11)
	expectLossy(0)

	sample(60*ms, 50*ms, 12)
	tr.wait(2001 * ms) // an outage, behind which much is sent again
	sample(60*ms, 50*ms, 40)
	expectLossy(0)
	tr.wait(time.Second)
	sample(60*ms, 50*ms, 41)
	tr.wait(time.Second)
	expectLossy(time.Second)
}

// What is sent again in vain was not lost. That shows a round trip after it was sent again.
func TestNeedlessRetransmits(t *testing.T) {
	tr := newTrace(t)
	sample := func(retransmits, needless uint32) {
		tr.wait(500 * ms)
		tr.Sampled(tr.now, Sample{RTT: 60 * ms, MinRTT: 50 * ms, Retransmits: retransmits, Needless: needless})
	}
	sample(2, 2)
	for n := uint32(2); n < 20; n++ {
		sample(n, n)
	}
	expect(tr, "time of losses", tr.Lossy(tr.now), 0)
	sample(20, 19) // this could be one
	expect(tr, "losses", tr.loss.present, true)
	for n := uint32(20); n < 30; n++ {
		sample(n, n)
		sample(n+1, n)
	}
	expect(tr, "losses", tr.loss.present, false)
	sample(32, 30)
	expect(tr, "losses", tr.loss.present, true)
	sample(32, 40) // what the network doubles is no retransmission
	tr.wait(2 * time.Second)
	sample(32, 40)
	expect(tr, "losses", tr.loss.present, false)
}

// Where the kernel says how long packets queue, that counts, but for what it cannot see.
func TestKernelQueueing(t *testing.T) {
	tr := newTrace(t)
	tr.queueing = 300 * ms
	expect(tr, "queueing", tr.Queueing(), 300*ms)
	tr.Sampled(tr.now, Sample{RTT: 70 * ms, MinRTT: 50 * ms})
	expect(tr, "queueing", tr.Queueing(), 20*ms)
	tr.Sampled(tr.now, Sample{RTT: 40 * ms, MinRTT: 50 * ms})
	expect(tr, "queueing", tr.Queueing(), 0)
	tr.queueing = 301 * ms
	expect(tr, "queueing", tr.Queueing(), 301*ms)
}
