// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"maps"
	"slices"
	"time"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Causes of units dropped by a sendQueue.
const (
	dropDisposable = "disposable" // no other unit refers to it
	dropTail       = "tail"       // the rest of its GOP would be late
	dropReference  = "reference"  // it refers to a dropped unit, or is dropped to catch up at a random access point
	dropPassed     = "passed"     // it refers to a unit from before sending began
	dropAudio      = "audio"      // audio or data, when nothing else is left to drop
)

// sendQueue is what waits for a slow tunnel: access units within bounds of size and age, and control messages
// in order with them. Over a bound it drops, in this order: disposable video, video up to the newest random
// access point, video behind that, audio. Where the path is known it does not let it come to that: what would
// be late is dropped while it is worth least (late.go). A unit that refers to a dropped one never leaves it. It is
// neither safe for concurrent use nor aware of time: whoever calls says how late it is.
type sendQueue struct {
	maxBytes int
	maxAge   time.Duration
	onDrop   func(cause string, u *media.AccessUnit)
	// lateness is what is late; its zero value is nothing.
	lateness lateness

	items  []queueItem
	bytes  int
	units  int
	resync map[uint8]*source.Resync // of each video track, at the queue's tail
	passed map[uint8]bool           // tracks that wait because units passed by the queue, not for want of room

	// sent is the sequence of the last unit that left, broken that of the last one dropped that others refer to.
	sent, broken uint64
	// sentClock is the clock of the last unit that left.
	sentClock uint64
}

// queueItem is a unit or a message.
type queueItem struct {
	message tunnel.Message
	unit    *media.AccessUnit
	video   bool
	clock   uint64
	since   time.Time
}

func newSendQueue(maxBytes int, maxAge time.Duration, onDrop func(cause string, u *media.AccessUnit)) *sendQueue {
	return &sendQueue{maxBytes: maxBytes, maxAge: maxAge, onDrop: onDrop, resync: make(map[uint8]*source.Resync), passed: make(map[uint8]bool)}
}

// pushMessage adds a control message. Of states in a row only the last one counts.
func (q *sendQueue) pushMessage(m tunnel.Message) {
	if n := len(q.items); n > 0 {
		_, was := q.items[n-1].message.(*tunnel.State)
		if _, is := m.(*tunnel.State); was && is {
			q.items[n-1].message = m
			return
		}
	}
	q.items = append(q.items, queueItem{message: m})
}

// pushUnit adds a unit unless it refers to one that was dropped. clock numbers the source's clocks: where it
// changes, the next unit that leaves is marked as a discontinuity.
func (q *sendQueue) pushUnit(u *media.AccessUnit, video bool, clock uint64, now time.Time) {
	if video && !q.track(u.Track).Admit(u) {
		cause := dropReference
		if q.passed[u.Track] {
			cause = dropPassed
		}
		q.drop(u, video, cause)
		return
	}
	delete(q.passed, u.Track)
	q.items = append(q.items, queueItem{unit: u, video: video, clock: clock, since: now})
	q.bytes += len(u.Payload)
	q.units++
	q.shed(now)
	q.shedLate(now)
}

func (q *sendQueue) track(id uint8) *source.Resync {
	r := q.resync[id]
	if r == nil {
		r = &source.Resync{}
		q.resync[id] = r
	}
	return r
}

// miss says that units of a video track pass by the queue: the track goes on at its next random access point.
func (q *sendQueue) miss(track uint8) {
	q.track(track).Miss()
	q.passed[track] = true
}

// unitNext says whether the next item is a unit.
func (q *sendQueue) unitNext() bool { return len(q.items) > 0 && q.items[0].unit != nil }

// pop takes the next item out.
func (q *sendQueue) pop(now time.Time) (queueItem, bool) {
	q.shed(now)
	q.shedLate(now)
	if len(q.items) == 0 {
		return queueItem{}, false
	}
	item := q.items[0]
	q.items[0] = queueItem{}
	q.items = q.items[1:]
	if u := item.unit; u != nil {
		q.bytes -= len(u.Payload)
		q.units--
		q.sent = u.Sequence
		if item.clock != q.sentClock {
			q.sentClock = item.clock
			marked := *u // the cache has the other one
			marked.Discontinuity = true
			item.unit = &marked
		}
	}
	return item, true
}

// clearUnits takes out all units, which are not counted as dropped: the caller has them in its cache.
func (q *sendQueue) clearUnits() {
	q.items = slices.DeleteFunc(q.items, func(i queueItem) bool { return i.unit != nil })
	q.bytes, q.units = 0, 0
}

// clear takes out everything.
func (q *sendQueue) clear() { q.items, q.bytes, q.units = nil, 0, 0 }

// age is how long the oldest unit has been waiting.
func (q *sendQueue) age(now time.Time) time.Duration {
	for i := range q.items {
		if q.items[i].unit != nil {
			return now.Sub(q.items[i].since)
		}
	}
	return 0
}

func (q *sendQueue) over(now time.Time) bool { return q.bytes > q.maxBytes || q.age(now) > q.maxAge }

// shed drops until the queue is within its bounds.
func (q *sendQueue) shed(now time.Time) {
	if !q.over(now) {
		return
	}
	q.filter(dropDisposable, func(i *queueItem) bool { return i.video && i.unit.Disposable && q.over(now) })
	for _, id := range slices.Sorted(maps.Keys(q.resync)) {
		if q.over(now) {
			q.catchUp(id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(q.resync)) {
		if q.over(now) {
			q.keepNewest(id)
		}
	}
	q.filter(dropAudio, func(i *queueItem) bool {
		return !i.video && (q.bytes > q.maxBytes || now.Sub(i.since) > q.maxAge)
	})
	q.filter(dropReference, func(i *queueItem) bool {
		if q.bytes <= q.maxBytes {
			return false
		}
		q.track(i.unit.Track).Miss()
		return true
	})
}

// catchUp drops a video track's units before its newest random access point.
func (q *sendQueue) catchUp(track uint8) {
	newest := q.newest(track)
	if newest == nil {
		return
	}
	var r source.Resync
	r.Miss()
	begun, dropped := false, false
	q.filter(dropReference, func(i *queueItem) bool {
		if !i.video || i.unit.Track != track {
			return false
		}
		begun = begun || i.unit == newest
		if !begun {
			dropped = true
			return true
		}
		return dropped && !r.Admit(i.unit)
	})
	if dropped {
		q.follow(track, r)
	}
}

// follow makes r, which has seen the queue up to its tail, the track's. What the track has missed behind that stays missed.
func (q *sendQueue) follow(track uint8, r source.Resync) {
	if q.track(track).Waiting() {
		r.Miss()
	}
	*q.track(track) = r
}

// keepNewest drops all of a video track but its newest random access point, and what comes up to the next one.
func (q *sendQueue) keepNewest(track uint8) {
	newest := q.newest(track)
	q.filter(dropReference, func(i *queueItem) bool {
		if !i.video || i.unit.Track != track || i.unit == newest {
			return false
		}
		q.track(track).Miss()
		return true
	})
}

func (q *sendQueue) newest(track uint8) *media.AccessUnit {
	for i := len(q.items) - 1; i >= 0; i-- {
		if u := q.items[i].unit; u != nil && u.Track == track && u.RandomAccess {
			return u
		}
	}
	return nil
}

// filter drops the units that doomed says so of, oldest first.
func (q *sendQueue) filter(cause string, doomed func(*queueItem) bool) {
	kept := q.items[:0]
	for _, item := range q.items {
		if item.unit != nil && doomed(&item) {
			q.bytes -= len(item.unit.Payload)
			q.units--
			q.drop(item.unit, item.video, cause)
			continue
		}
		kept = append(kept, item)
	}
	clear(q.items[len(kept):])
	q.items = kept
}

func (q *sendQueue) drop(u *media.AccessUnit, video bool, cause string) {
	if video && !u.Disposable {
		q.broken = max(q.broken, u.Sequence)
	}
	q.onDrop(cause, u)
}
