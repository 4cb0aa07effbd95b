// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// queueTest drives a sendQueue by a script, one character each: K, p and b are video (key frame, picture,
// disposable picture), l is a leading picture of the key frame before it, a is audio, s and t are messages (state,
// tracks); a digit lets that many seconds pass; < takes one item out, ! is a new clock, _ clears the units.
type queueTest struct {
	queue *sendQueue
	now   time.Time
	clock uint64
	pts   int64
	next  uint64
	names map[uint64]string
	out   strings.Builder
	drops map[string]int
}

func newQueueTest(bytes int, age time.Duration) *queueTest {
	q := &queueTest{now: time.Unix(0, 0), clock: 1, names: map[uint64]string{}, drops: map[string]int{}}
	q.queue = newSendQueue(bytes, age, func(cause string, _ *media.AccessUnit) { q.drops[cause]++ })
	q.queue.sentClock = 1
	return q
}

func (q *queueTest) run(script string) {
	for _, c := range script {
		switch {
		case c >= '0' && c <= '9':
			q.now = q.now.Add(time.Duration(c-'0') * time.Second)
		case c == '<':
			q.take()
		case c == '!':
			q.clock++
		case c == '_':
			q.queue.clearUnits()
		case c == 's':
			q.queue.pushMessage(&tunnel.State{})
		case c == 't':
			q.queue.pushMessage(&tunnel.Tracks{})
		default:
			q.unit(c)
		}
	}
}

func (q *queueTest) unit(c rune) {
	q.next++
	q.pts += 10
	u := &media.AccessUnit{Sequence: q.next, PTS: q.pts, Payload: []byte{1}}
	switch c {
	case 'K':
		u.RandomAccess = true
		u.PTS += 25 // behind its leading pictures
	case 'b':
		u.PTS += 25
		u.Disposable = true
	case 'p':
		u.PTS += 25
	case 'a':
		u.Track, u.RandomAccess = 1, true
	}
	q.names[u.Sequence] = string(c)
	q.queue.pushUnit(u, c != 'a', q.clock, q.now)
}

func (q *queueTest) take() bool {
	item, ok := q.queue.pop(q.now)
	switch {
	case !ok:
	case item.unit != nil:
		if item.unit.Discontinuity {
			q.out.WriteString("!")
		}
		fmt.Fprintf(&q.out, "%s%d ", q.names[item.unit.Sequence], item.unit.Sequence)
	default:
		switch item.message.(type) {
		case *tunnel.State:
			q.out.WriteString("s ")
		case *tunnel.Tracks:
			q.out.WriteString("t ")
		}
	}
	return ok
}

func TestSendQueue(t *testing.T) {
	for name, tc := range map[string]struct{ script, want string }{
		"in order":                            {"tKpsa", "t K1 p2 s a3"},
		"the last state of several":           {"sssKss", "s K1 s"},
		"disposable first":                    {"Kbpbpb", "K1 p3 b4 p5 b6"},
		"up to the newest key frame":          {"KpppKpp", "K5 p6 p7"},
		"leading pictures go with their past": {"KpppKllp", "K5 p8"},
		"behind the only key frame":           {"KpppppKp", "K1 K7 p8"},
		"waits for a key frame":               {"Kpppppppa", "K1 a9"},
		"sent key frame, dropped pictures":    {"K<pppppppKp", "K1 K9 p10"},
		"audio last":                          {"KppaaaKaaa", "a6 K7 a8 a9 a10"},
		"too old":                             {"KppaKp4<", "K5"},
		"late key frame stays":                {"K4", "K1"},
		"old audio goes":                      {"aa4a", "a3"},
		"discontinuity":                       {"Kp!Kp", "K1 p2 !K3 p4"},
		"discontinuity moves on":              {"Kpp!KpKpp", "!K6 p7 p8"},
		"messages stay":                       {"sKppptppKp", "s K1 t K7 p8"},
		"cleared":                             {"tKps_pa", "t s p3 a4"},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueueTest(5, 3*time.Second)
			q.run(tc.script)
			for q.take() {
			}
			if got := strings.TrimSpace(q.out.String()); got != tc.want {
				t.Errorf("%s leaves as %s, want %s (dropped %v)", tc.script, got, tc.want, q.drops)
			}
			if q.queue.bytes != 0 || len(q.queue.items) != 0 {
				t.Errorf("%d bytes in an empty queue", q.queue.bytes)
			}
		})
	}
}

// Whatever comes and however slowly it leaves: what leaves is in order and can be decoded, and the queue keeps
// its bounds.
func TestSendQueueInvariants(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		const maxBytes, maxAge = 400, 2 * time.Second
		q := newSendQueue(maxBytes, maxAge, func(string, *media.AccessUnit) {})
		if seed%2 == 1 { // a path of changing speed
			q.lateness = lateness{most: time.Second, head: 200 * time.Millisecond, delay: func(now time.Time, bytes int) time.Duration {
				return time.Duration(bytes*(1+now.Second()%5)) * time.Millisecond
			}}
		}
		now := time.Unix(0, 0)
		var d decoder
		var pushed, clock, gopOf, pts = uint64(0), uint64(1), map[uint64]gopUnit{}, int64(0)
		var gop, ref uint64
		speed := 1 + rnd.IntN(20)
		for range 2000 {
			now = now.Add(time.Duration(rnd.IntN(60)) * time.Millisecond)
			if rnd.IntN(20) < speed {
				if item, ok := q.pop(now); ok && item.unit != nil {
					d.take(t, item.unit, item.clock, gopOf[item.unit.Sequence])
				}
				continue
			}
			pushed++
			pts += 10
			u := &media.AccessUnit{Sequence: pushed, PTS: pts, Payload: make([]byte, 1+rnd.IntN(50))}
			video := true
			switch n := rnd.IntN(40); {
			case n == 0:
				clock++
				fallthrough
			case n < 4:
				u.RandomAccess = true
				gop, ref = pushed, pushed
				gopOf[pushed] = gopUnit{gop: gop}
			case n < 12:
				u.Track, u.RandomAccess, video = 1, true, false
			case n < 20:
				u.Disposable = true
				gopOf[pushed] = gopUnit{gop: gop, ref: ref}
			default:
				gopOf[pushed] = gopUnit{gop: gop, ref: ref}
				ref = pushed
			}
			if gop == 0 && video {
				continue // sources begin with a random access point
			}
			q.pushUnit(u, video, clock, now)
			if q.bytes > maxBytes {
				t.Fatalf("seed %d: %d bytes", seed, q.bytes)
			}
		}
	}
}

// gopUnit says what a unit refers to.
type gopUnit struct{ gop, ref uint64 }

// decoder checks what a decoder would.
type decoder struct {
	last, clock, ref uint64
}

func (d *decoder) take(t *testing.T, u *media.AccessUnit, clock uint64, g gopUnit) {
	t.Helper()
	if u.Sequence <= d.last {
		t.Fatalf("%d leaves behind %d", u.Sequence, d.last)
	}
	d.last = u.Sequence
	if u.Discontinuity != (clock != d.clock) {
		t.Fatalf("unit %d of clock %d behind clock %d: discontinuity %t", u.Sequence, clock, d.clock, u.Discontinuity)
	}
	d.clock = clock
	if u.Track != 0 {
		return
	}
	if !u.RandomAccess && g.ref != d.ref {
		t.Fatalf("unit %d refers to %d, the last reference that left is %d", u.Sequence, g.ref, d.ref)
	}
	if !u.Disposable {
		d.ref = u.Sequence
	}
}
