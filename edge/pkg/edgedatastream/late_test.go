// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/kubeedge/datastream/pkg/media"
)

// lateTest is a queueTest on a path whose speed is known: each unit has one byte, and a digit in the script says how many
// hundreds of milliseconds each byte takes from now on; . lets 100 ms pass and , a second. x and y are random access point and
// picture of a second video track. Behind # nothing gets through.
type lateTest struct {
	*queueTest
	perByte time.Duration
	stalled bool
}

func newLateTest() *lateTest {
	l := &lateTest{queueTest: newQueueTest(1000, time.Hour)}
	l.queue.lateness = lateness{most: time.Second, head: 300 * time.Millisecond, delay: func(_ time.Time, bytes int) time.Duration {
		return time.Duration(bytes) * l.perByte
	}, stalled: func(time.Time) bool { return l.stalled }}
	return l
}

func (l *lateTest) run(script string) {
	for _, c := range script {
		switch {
		case c >= '0' && c <= '9':
			l.perByte = time.Duration(c-'0') * 100 * time.Millisecond
		case c == '#':
			l.stalled = true
		case c == '.':
			l.now = l.now.Add(100 * time.Millisecond)
		case c == ',':
			l.now = l.now.Add(time.Second)
		case c == 'x' || c == 'y':
			l.next++
			l.pts += 10
			l.names[l.next] = string(c)
			l.queue.pushUnit(&media.AccessUnit{Sequence: l.next, PTS: l.pts, Track: 2, RandomAccess: c == 'x', Payload: []byte{1}}, true, l.clock, l.now)
		default:
			l.queueTest.run(string(c))
		}
	}
}

func TestLate(t *testing.T) {
	for name, tc := range map[string]struct {
		script, want string
		drops        map[string]int
	}{
		"nothing is late":                {"1Kpbpbp", "K1 p2 b3 p4 b5 p6", nil},
		"late, but the path catches up":  {"0Kpppp,,Kp", "K1 p2 p3 p4 p5 K6 p7", nil},
		"nothing gets through":           {"9#K<pppppp,,,", "p2 p3 p4 p5 p6 p7", nil},
		"just in time":                   {"1Kppbpppppp", "K1 p2 p3 b4 p5 p6 p7 p8 p9 p10", nil},
		"disposable ones first":          {"1Kpbpbppppppp", "K1 p2 p4 p6 p7 p8 p9 p10 p11 p12", map[string]int{dropDisposable: 2}},
		"no more than it takes":          {"1Kpbbbppppppp", "K1 p2 b5 p6 p7 p8 p9 p10 p11 p12", map[string]int{dropDisposable: 2}},
		"the next one is late":           {"1K<pppp,6", "", map[string]int{dropTail: 4}},
		"late by its own size":           {"1K<p.........0p", "p2 p3", nil},
		"too late by its own size":       {"1K<p..........6p", "", map[string]int{dropTail: 2}},
		"behind the key frame":           {"1Kppp,4<", "", map[string]int{dropTail: 3}},
		"key frame is late":              {"1K,,,,", "K1", nil},
		"the tail before a key frame":    {"1K<ppppppK", "p2 p3 p4 K8", map[string]int{dropTail: 3}},
		"one at a time":                  {"2K<ppK", "p2 K4", map[string]int{dropTail: 1}},
		"all before a key frame":         {"4K<ppK", "K4", map[string]int{dropTail: 2}},
		"the key frame before":           {"4KppK", "K4", map[string]int{dropTail: 3}},
		"key frames alone":               {"1KKKKKK", "K1 K2 K3 K6", map[string]int{dropTail: 2}},
		"audio in front":                 {"2aaKpK", "a1 a2 K5", map[string]int{dropTail: 2}},
		"audio is never late":            {"9aaaa,,a", "a1 a2 a3 a4 a5", nil},
		"audio of a cut GOP":             {"1K<papapa,K", "a3 a5 a7 K8", map[string]int{dropTail: 3}},
		"messages stay":                  {"1K<sptpp,4K", "s t K5", map[string]int{dropTail: 3}},
		"leading pictures":               {"4K<pKllp", "K3 p6", map[string]int{dropTail: 1, dropReference: 2}},
		"leading pictures that wait":     {"1K<ppKll4p", "K4 p7", map[string]int{dropTail: 4}},
		"leading pictures of a whole":    {"1K<pKllp", "p2 K3 l4 l5 p6", nil},
		"what follows is missed":         {"1K<pp,6ppKp", "K6 p7", map[string]int{dropTail: 3, dropReference: 1}},
		"another track":                  {"1Kx<<pypy,4xp", "x7", map[string]int{dropTail: 4, dropReference: 1}},
		"another track's tail":           {"1K<x<ypypypypx", "p4 p6 p8 p10 x11", map[string]int{dropTail: 4}},
		"leading pictures missed before": {"1K<p........KppK...3<lp", "K6 p8", map[string]int{dropTail: 3, dropReference: 1}},
		"faster in time":                 {"1K<9pp1pK", "p2 p3 p4 K5", nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLateTest()
			l.run(tc.script)
			sent := l.out.Len()
			for l.take() {
			}
			got := strings.TrimSpace(l.out.String()[sent:])
			if got != tc.want || len(tc.drops)+len(l.drops) > 0 && !maps.Equal(l.drops, tc.drops) {
				t.Errorf("%s leaves %s, want %s; dropped %v, want %v", tc.script, got, tc.want, l.drops, tc.drops)
			}
		})
	}
}
