// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scenarios shows what viewers get over bad networks, with congestion control and without it. It takes minutes: make weaknet
// runs it, go test alone skips it.
package scenarios

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/weaknet"
)

var run = flag.Bool("scenarios", false, "run the scenarios, which take six minutes")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

const (
	second      = time.Second
	frameRate   = 30
	gop         = 60
	keyInterval = gop * second / frameRate
)

// lan is what is left of a path that is not bad.
var lan = weaknet.Path{Delay: 10 * time.Millisecond}

func at(rate int) weaknet.Path { return weaknet.Path{Rate: rate, Delay: 20 * time.Millisecond} }

// scenario is something that a network does.
type scenario struct {
	name    string
	up      weaknet.Path // at its beginning
	down    weaknet.Path
	rate    int // of each camera, in bits per second
	cameras int
	// play lets it happen, and returns when the path was whole again for the last time; zero if it never broke.
	play func(*weaknet.Link) time.Time
}

var scenarios = []scenario{
	{name: "4-1-4 Mbit/s", up: at(4 * weaknet.Mbit), down: at(4 * weaknet.Mbit), rate: 4_000_000, play: func(l *weaknet.Link) (none time.Time) {
		wait(20 * second)
		l.SetUp(at(1 * weaknet.Mbit))
		wait(20 * second)
		l.SetUp(at(4 * weaknet.Mbit))
		wait(20 * second)
		return none
	}},
	{name: "300 ms RTT, 2 % loss", up: weaknet.Path{Delay: 150 * time.Millisecond, Loss: 0.02}, down: weaknet.Path{Delay: 150 * time.Millisecond, Loss: 0.02}, rate: 4_000_000,
		play: func(*weaknet.Link) (none time.Time) {
			wait(60 * second)
			return none
		}},
	{name: "8 s blackout", up: at(20 * weaknet.Mbit), down: lan, rate: 4_000_000, play: func(l *weaknet.Link) time.Time {
		wait(10 * second)
		l.Blackhole(true)
		wait(8 * second)
		l.Blackhole(false)
		back := time.Now()
		wait(22 * second)
		return back
	}},
	// A router forgets the tunnel: neither end is told, and the next one gets through.
	{name: "60 s half-open, forgotten", up: at(20 * weaknet.Mbit), down: lan, rate: 4_000_000, play: func(l *weaknet.Link) (none time.Time) {
		wait(10 * second)
		l.Forget()
		wait(60 * second)
		return none
	}},
	// Nothing gets through for about as long as viewers stay.
	{name: "55 s half-open, no path", up: at(20 * weaknet.Mbit), down: lan, rate: 4_000_000, play: func(l *weaknet.Link) time.Time {
		wait(10 * second)
		l.Blackhole(true)
		wait(55 * second)
		l.Blackhole(false)
		back := time.Now()
		wait(15 * second)
		return back
	}},
	{name: "5 min of flapping", up: at(20 * weaknet.Mbit), down: lan, rate: 4_000_000, play: func(l *weaknet.Link) time.Time {
		rnd := rand.New(rand.NewPCG(1, 2))
		back := time.Now()
		for end := back.Add(300 * second); time.Now().Before(end); {
			wait(second + rand.N(6*second))
			l.Blackhole(true)
			wait(time.Duration(rnd.Int64N(int64(4 * second))))
			l.Blackhole(false)
			back = time.Now()
		}
		wait(10 * second)
		return back
	}},
	{name: "two cameras, 3 Mbit/s", up: at(3 * weaknet.Mbit), down: lan, rate: 3_000_000, cameras: 2, play: func(*weaknet.Link) (none time.Time) {
		wait(60 * second)
		return none
	}},
	{name: "one camera, 3 Mbit/s", up: at(3 * weaknet.Mbit), down: lan, rate: 6_000_000, play: func(*weaknet.Link) (none time.Time) {
		wait(60 * second)
		return none
	}},
	{name: "bufferbloat, 2 s", up: weaknet.Path{Rate: 3 * weaknet.Mbit, Queue: 2 * 3 * weaknet.Mbit / 8, Delay: 20 * time.Millisecond}, down: lan, rate: 4_000_000,
		play: func(*weaknet.Link) (none time.Time) {
			wait(60 * second)
			return none
		}},
	{name: "wide path", up: at(50 * weaknet.Mbit), down: at(50 * weaknet.Mbit), rate: 4_000_000, play: func(*weaknet.Link) (none time.Time) {
		wait(60 * second)
		return none
	}},
}

// wait lets the scenario's time pass. There is nothing to be signalled.
func wait(d time.Duration) { <-time.After(d) }

// Ways to meet a scenario.
var ways = []struct {
	name string
	tune func(*v1alpha1.EdgeDataStream)
}{
	{"on", func(*v1alpha1.EdgeDataStream) {}},
	{"on, cubic", func(c *v1alpha1.EdgeDataStream) { c.Congestion.LossControl = nil }},
	{"off", func(c *v1alpha1.EdgeDataStream) { c.Congestion.Enable = false }},
}

func TestScenarios(t *testing.T) {
	if !*run {
		t.Skip("no -scenarios: make weaknet runs them")
	}
	weaknet.Require(t)
	var results table
	t.Cleanup(func() { results.print(t) })
	for n, s := range scenarios {
		for _, w := range ways {
			t.Run(s.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				link := weaknet.Start(t, weaknet.Config{Up: s.up, Down: s.down, CongestionControl: "cubic", Seed: 1})
				clip, err := camera.Traffic{BitRate: s.rate, FrameRate: frameRate, GOP: gop, KeyFactor: 8}.Clip()
				if err != nil {
					t.Fatal(err)
				}
				r := newRig(t, link, clip, true, max(s.cameras, 1), w.tune)
				wait(2 * second) // beginnings are another story
				from := time.Now()
				back := s.play(link)
				res := r.result(from, time.Now(), back)
				res.order, res.scenario, res.way = n, s.name, w.name
				results.add(res)
				res.check(t)
			})
		}
	}
}
