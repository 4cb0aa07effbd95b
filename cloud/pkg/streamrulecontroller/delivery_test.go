// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"slices"
	"testing"
	"time"

	"github.com/kubeedge/datastream/pkg/assignment"
)

// loop drives a delivery through time, without waiting.
type loop struct {
	delivery
	now time.Time
}

func newLoop(revision string, targets int) *loop {
	l := &loop{now: start, delivery: delivery{policy: &resendPolicy{
		min: time.Second, max: 60 * time.Second, jitter: func(d time.Duration) time.Duration { return d },
	}}}
	l.desire(revision, targets)
	return l
}

func (l *loop) hear(revision string, tunnels int) {
	l.report(assignment.Report{Revision: revision, Tunnels: tunnels}, l.now)
}

// sends runs the loop until end and returns when something was sent, in seconds since start.
func (l *loop) sends(end time.Duration) []int {
	var out []int
	for {
		if l.due(l.now) {
			l.send(l.now)
			out = append(out, int(l.now.Sub(start)/time.Second))
		}
		next, waiting := l.nextSend()
		if !waiting || next.After(start.Add(end)) {
			l.now = start.Add(end)
			return out
		}
		l.now = next
	}
}

func (l *loop) want(t *testing.T, end int, sends ...int) {
	t.Helper()
	if got := l.sends(time.Duration(end) * time.Second); !slices.Equal(got, sends) {
		t.Errorf("until %d s sent at %v s, want %v", end, got, sends)
	}
}

func TestDeliveryBacksOff(t *testing.T) {
	l := newLoop("a", 1)
	l.want(t, 250, 0, 1, 3, 7, 15, 31, 63, 123, 183, 243)
	l.hear("a", 1)
	l.want(t, 1000)
}

func TestDeliveryOfWhatRunsAlready(t *testing.T) {
	l := newLoop("a", 1)
	l.hear("a", 1)
	l.want(t, 1000)
}

func TestDeliveryHurriesAfterOtherReport(t *testing.T) {
	l := newLoop("b", 1)
	l.want(t, 20, 0, 1, 3, 7, 15)
	l.hear("a", 1)
	l.want(t, 22, 20, 21)
	l.hear("a", 1) // at 22, one second after the last
	l.want(t, 23, 22, 23)
	l.hear("a", 0)
	l.hear("a", 0)
	l.want(t, 26, 24, 25)
	l.hear("b", 1)
	l.want(t, 1000)
}

func TestDeliveryOfBurst(t *testing.T) {
	l := newLoop("a", 1)
	l.want(t, 0, 0)
	for _, revision := range []string{"b", "c", "d"} {
		l.desire(revision, 1)
	}
	l.want(t, 1, 1)
	if l.sent != "d" {
		t.Errorf("sent %s", l.sent)
	}
}

// What was sent in between may still arrive, so the node is told even though its last report fits.
func TestDeliveryOfRevertedChange(t *testing.T) {
	l := newLoop("a", 1)
	l.want(t, 0, 0)
	l.hear("a", 1)
	l.desire("b", 1)
	l.want(t, 1, 1)
	l.desire("a", 1)
	l.hear("a", 0)
	l.hear("a", 1)
	l.want(t, 1000, 2)
}

func TestDeliveryWithoutTunnels(t *testing.T) {
	l := newLoop("a", 2)
	l.want(t, 0, 0)
	l.hear("a", 1)
	l.want(t, 29)
	l.hear("a", 0) // still lacking: the grace goes on
	l.want(t, 40, 30, 31, 33, 37)
	l.hear("a", 2)
	l.want(t, 50)
	l.hear("a", 1) // from now on again
	l.want(t, 82, 80, 81)
}

func TestDeliveryOfNothing(t *testing.T) {
	l := newLoop("nothing", 0)
	l.want(t, 10000, 0, 1, 3, 7, 15, 31) // then it gives up
	l.hear("a", 0)
	l.want(t, 10001, 10000, 10001)
	l.hear("nothing", 0)
	l.want(t, 20000)

	l = newLoop("nothing", 0)
	l.hear("", 0)
	l.want(t, 1000)
}
