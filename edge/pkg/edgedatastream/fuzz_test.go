// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"testing"
	"time"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/congestion"
	"github.com/kubeedge/datastream/pkg/media"
)

// queueFuzz is a sendQueue with a controller and a path that does what a fuzzer says.
type queueFuzz struct {
	*testing.T
	queue      *sendQueue
	control    *congestion.Controller
	now        time.Time
	skew       time.Duration // of the cloud's clock
	next       uint64
	pts        int64
	tracks     [2]fuzzTrack
	refs       map[uint64]fuzzRefs
	last       uint64
	sent, came uint64 // bytes of the present tunnel
}

// fuzzTrack is a video track: what its source makes and what has left the queue.
type fuzzTrack struct {
	begun, trailing  bool  // trailing: no leading picture can come now
	key, keyPTS, ref int64 // sequences, but for keyPTS
	previous         int64 // last reference before key
	decoded          map[int64]bool
}

// fuzzRefs are the sequences that a unit refers to.
type fuzzRefs struct {
	video bool
	track int
	needs []int64
}

const (
	fuzzBytes = 4 << 10
	fuzzAge   = 3 * time.Second
)

func newQueueFuzz(t *testing.T) *queueFuzz {
	f := &queueFuzz{T: t, now: time.Unix(0, 0), refs: map[uint64]fuzzRefs{}}
	for i := range f.tracks {
		f.tracks[i].decoded = map[int64]bool{}
	}
	f.queue = newSendQueue(fuzzBytes, fuzzAge, func(string, *media.AccessUnit) {})
	f.attach()
	return f
}

// attach begins a new tunnel.
func (f *queueFuzz) attach() {
	f.queue.clear()
	for i := range f.tracks {
		f.queue.miss(uint8(i))
	}
	f.control = &congestion.Controller{Backlog: 100 * time.Millisecond}
	f.queue.lateness = lateness{delay: f.control.Delay, stalled: f.control.Stalled, most: 1500 * time.Millisecond, head: 300 * time.Millisecond}
	f.sent, f.came = 0, 0
}

// push adds a unit of video: K a random access point, p a picture, b a disposable one, l a leading one of the random access
// point before it, which refers also to what comes before that.
func (f *queueFuzz) push(track int, kind byte, size int) {
	tr := &f.tracks[track]
	if !tr.begun && kind != 'K' {
		return // sources begin with one
	}
	f.next++
	f.pts += 10
	seq := int64(f.next)
	u := &media.AccessUnit{Sequence: f.next, Track: uint8(track), PTS: f.pts, Payload: make([]byte, 1+size)}
	refs := fuzzRefs{video: true, track: track}
	switch kind {
	case 'K':
		u.RandomAccess = true
		u.PTS += 1000
		tr.begun, tr.trailing = true, false
		tr.previous, tr.key, tr.keyPTS, tr.ref = tr.ref, seq, u.PTS, seq
	case 'p':
		u.PTS, tr.trailing = max(u.PTS, tr.keyPTS+1), true
		refs.needs = []int64{tr.key, tr.ref}
		tr.ref = seq
	case 'b':
		u.PTS, tr.trailing = max(u.PTS, tr.keyPTS+1), true
		u.Disposable = true
		refs.needs = []int64{tr.key, tr.ref}
	case 'l':
		if tr.trailing {
			return
		}
		u.PTS = tr.keyPTS - 500
		u.Disposable = true
		refs.needs = []int64{tr.key, tr.previous}
	}
	f.refs[f.next] = refs
	f.queue.pushUnit(u, true, 1, f.now)
}

func (f *queueFuzz) pushAudio(size int) {
	f.next++
	f.pts += 10
	f.queue.pushUnit(&media.AccessUnit{Sequence: f.next, Track: 2, RandomAccess: true, PTS: f.pts, Payload: make([]byte, 1+size)}, false, 1, f.now)
}

// pop lets one unit leave if the path has room.
func (f *queueFuzz) pop() bool {
	if !f.control.MaySend() && f.queue.unitNext() {
		return false
	}
	item, ok := f.queue.pop(f.now)
	if !ok {
		f.control.Idle()
		return false
	}
	u := item.unit
	f.control.Sent(f.now, len(u.Payload))
	f.sent += uint64(len(u.Payload))
	if u.Sequence <= f.last {
		f.Fatalf("%d leaves behind %d", u.Sequence, f.last)
	}
	f.last = u.Sequence
	if f.now.Sub(item.since) > fuzzAge && !u.RandomAccess {
		f.Fatalf("%d leaves after %v", u.Sequence, f.now.Sub(item.since))
	}
	if r := f.refs[u.Sequence]; r.video {
		tr := &f.tracks[r.track]
		for _, n := range r.needs {
			if n != 0 && !tr.decoded[n] {
				f.Fatalf("unit %d leaves, %d that it refers to did not", u.Sequence, n)
			}
		}
		tr.decoded[int64(u.Sequence)] = true
	}
	return true
}

func (f *queueFuzz) check() {
	if f.queue.bytes > fuzzBytes {
		f.Fatalf("%d bytes wait", f.queue.bytes)
	}
	bytes := 0
	for _, i := range f.queue.items {
		bytes += len(i.unit.Payload)
	}
	if bytes != f.queue.bytes {
		f.Fatalf("%d bytes wait, %d are counted", bytes, f.queue.bytes)
	}
	c := f.control
	if c.InFlight() != int(f.sent-f.came) {
		f.Fatalf("%d bytes under way, want %d", c.InFlight(), f.sent-f.came)
	}
	if w := c.Window(); w < 16<<10 {
		f.Fatalf("window %d", w)
	}
	last := time.Duration(0)
	for _, n := range []int{0, 1, 1000, 1 << 20, 1 << 40} {
		d := c.Delay(f.now, n)
		if d < last {
			f.Fatalf("delay %v for %d bytes, %v for less", d, n, last)
		}
		last = d
	}
	if r := c.PacingRate(); r < 0 || r > 1e12 {
		f.Fatalf("pacing rate %f", r)
	}
}

func (f *queueFuzz) ack(bytes uint64, received time.Time) { f.control.Acked(f.now, bytes, received) }

// calm is a path of 1 Mbit/s, and a camera of a fifth of that, for ten seconds: behind the first five all passes.
func (f *queueFuzz) calm() {
	arrive := make([]uint64, 0, 2000)
	acked := f.came
	budget := 0
	for ms := range 10000 {
		f.now = f.now.Add(time.Millisecond)
		if ms%40 == 0 {
			kind := byte('p')
			if ms%1000 == 0 {
				kind = 'K'
			}
			f.push(0, kind, 1000)
		}
		for budget = min(budget+125, 20000); budget > 0; {
			was := f.sent
			if !f.pop() {
				break
			}
			budget -= int(f.sent - was)
		}
		// What left up to now arrives 20 ms later and is acknowledged another 20 ms later, every 50 ms.
		arrive = append(arrive, f.sent)
		if ms%50 == 49 && ms >= 40 {
			if b := arrive[ms-40]; b > acked {
				acked, f.came = b, b
				f.ack(b, f.now.Add(f.skew-20*time.Millisecond))
			}
		}
		if ms%1000 == 0 {
			f.check()
		}
		if ms == 5000 {
			f.queue.onDrop = func(cause string, _ *media.AccessUnit) { f.Fatalf("dropped for %s though the path is wide", cause) }
		}
	}
	if d := f.control.Delay(f.now, 0); d > time.Second {
		f.Fatalf("delay %v though the path is wide", d)
	}
}

// FuzzQueue lets units, acknowledgements and times come in any order: two bytes are one step.
func FuzzQueue(f *testing.F) {
	f.Add([]byte("\x00\x20\x01\x20\x02\x20\x08\x01\x08\x01\x0a\x20\x09\xff\x03\x20\x08\x00"))
	f.Add([]byte("\x00\xff\x01\xff\x01\xff\x0a\xff\x00\xff\x03\xff\x0a\xff\x08\x00\x09\x80\x08\x00\x0e\x00\x00\x10\x08\x00"))
	f.Add([]byte("\x00\xff\x08\x00\x01\xff\x01\xff\x00\xff\x03\x01\x01\xff\x00\xff\x0b\xff\x03\x01\x08\x00\x08\x00\x08\x00"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		q := newQueueFuzz(t)
		if len(steps) > 2000 {
			return
		}
		for len(steps) >= 2 {
			op, arg := steps[0]%16, int(steps[1])
			steps = steps[2:]
			switch op {
			case 0, 1, 2, 3:
				q.push(0, "Kpbl"[op], arg*4)
			case 4, 5, 6:
				q.push(1, "Kpl"[op-4], arg*4)
			case 7:
				q.pushAudio(arg)
			case 8:
				for q.pop() && arg > 0 {
					arg /= 2
				}
			case 9: // part of what is under way has arrived
				q.came += (q.sent - q.came) * uint64(arg) / 255
				q.ack(q.came, q.now.Add(q.skew))
			case 10:
				q.now = q.now.Add(time.Duration(arg) * time.Millisecond)
			case 11:
				q.now = q.now.Add(time.Duration(arg) * 20 * time.Millisecond)
			case 12: // bogus: more than was sent, and the past
				q.ack(q.sent+1+uint64(arg), q.now)
				q.ack(^uint64(0), q.now)
				if q.came > uint64(arg) {
					q.ack(q.came-uint64(arg)-1, q.now)
				}
			case 13: // the cloud's clock is set
				q.skew = time.Duration(arg-128) * time.Hour * 24 * 365
			case 14:
				q.attach()
			case 15:
				q.skew += time.Duration(arg-128) * 10 * time.Millisecond
			}
			q.check()
		}
		q.calm()
	})
}
