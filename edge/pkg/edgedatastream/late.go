// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"time"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
)

// lateness says which units of a sendQueue come too late to be worth sending.
type lateness struct {
	// delay is how long it takes until so many bytes, behind what has left the queue, have arrived; nil if that is not known.
	delay func(now time.Time, bytes int) time.Duration
	// stalled says that nothing gets through just now, so that there is no saying when something will have; nil is never.
	stalled func(now time.Time) bool
	// most is how late a picture may be when it arrives.
	most time.Duration
	// head is how long a random access point may wait for older pictures to leave the queue. What follows it can only be later, so
	// without this bound a path that is a little too slow would keep all of it as late as it may be.
	head time.Duration
}

// shedLate drops what would be late: disposable pictures as soon as it shows that something will be; other pictures, with the
// rest of their GOP, when it is their turn, since by then the path may be a faster one. A random access point is
// dropped for a newer one only, when all that refers to it is gone; what keeps it waiting goes before it.
func (q *sendQueue) shedLate(now time.Time) {
	if q.lateness.delay == nil || q.lateness.stalled != nil && q.lateness.stalled(now) {
		return // the queue's bounds hold anyway
	}
	if q.lateAt(now, q.bytes) {
		q.filter(dropDisposable, func(i *queueItem) bool { return i.video && i.unit.Disposable && q.lateAt(now, q.bytes) })
	}
	for l := q.late(now); l != nil; l = q.late(now) {
		q.cut(l.unit.Track, l.unit.Sequence)
	}
}

// lateAt says whether a picture that comes now and has so many bytes before it will be late.
func (q *sendQueue) lateAt(now time.Time, bytes int) bool {
	return q.lateness.delay(now, bytes) > q.lateness.most
}

// late returns the picture to cut off next, with what refers to it, or nil. It is the last one before a random access point that
// has to wait for too long, or the next one to leave if that is late and the newest picture would be, too: where the path can catch
// up, behind an outage, the late ones lead to a present one sooner than the next random access point.
func (q *sendQueue) late(now time.Time) *queueItem {
	ahead := 0
	before := map[uint8]*queueItem{} // the last picture of each track
	for n := range q.items {
		i := &q.items[n]
		if i.unit == nil {
			continue
		}
		size := len(i.unit.Payload)
		switch {
		case !i.video:
		case i.unit.RandomAccess:
			if p := before[i.unit.Track]; p != nil && q.lateness.delay(now, ahead)-q.lateness.delay(now, 0) > q.lateness.head {
				return p
			}
		case ahead == 0 && now.Sub(i.since)+q.lateness.delay(now, size) > q.lateness.most && q.lateAt(now, q.bytes):
			return i
		}
		if i.video {
			before[i.unit.Track] = i
		}
		ahead += size
	}
	return nil
}

// cut drops a picture and what refers to it, up to the next random access point.
func (q *sendQueue) cut(track uint8, from uint64) {
	var r source.Resync
	begun, behind := false, 0 // random access points
	q.filter(dropTail, func(i *queueItem) bool {
		if !i.video || i.unit.Track != track {
			return false
		}
		if i.unit.Sequence == from {
			begun = true
			r.Miss()
			return true
		}
		if begun && i.unit.RandomAccess {
			behind++
		}
		return begun && !r.Admit(i.unit)
	})
	if behind < 2 { // else the newest one's past is what it was
		q.follow(track, r)
	}
}
