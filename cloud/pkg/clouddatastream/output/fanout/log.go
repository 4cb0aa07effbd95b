// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fanout hands one sequence of chunks to any number of readers. The writer never waits for a
// reader; a reader has a cursor, not a queue, and shares the chunks with all others.
package fanout

import (
	"errors"
	"sync"
	"time"
)

// ErrClosed is what a cursor returns behind the last chunk of a closed log.
var ErrClosed = errors.New("stream ended")

// Bounds of one Poll, so that a reader who is behind writes in pieces.
const (
	batchItems = 64
	batchBytes = 64 << 10 // a write in progress cannot jump
)

// Log is a bounded sequence of chunks of type T. It keeps what a new reader needs (from the newest
// random access point on) and what a reader may be behind (MaxLag), within MaxBytes and Room.
type Log[T any] struct {
	// MaxBytes bounds the sum of the sizes that Append was given.
	MaxBytes int
	// Room says, if it is set, how many bytes may be kept now; MaxBytes bounds it. It must not block.
	Room func() int
	// MaxLag is how far a reader may be behind before it jumps to the newest random access point.
	MaxLag time.Duration
	// HeaderOnce: a reader gets the header of the run that it begins in, and none of later runs.
	HeaderOnce bool
	// OnSkip is called, if set, for each such jump. It must not block.
	OnSkip func()
	// OnSize is called, if set, with each change of the kept bytes.
	OnSize func(delta int)

	mu      sync.Mutex
	entries []entry[T]
	first   uint64 // the index of entries[0]
	random  uint64 // the index of the newest random access point, if hasRandom
	found   bool   // random is valid; its entry may be gone all the same
	bytes   int
	head    *header[T]
	wake    chan struct{} // closed by the next Append; nil while nobody waits
	closed  bool
}

type entry[T any] struct {
	item T
	size int
	at   time.Time
	head *header[T]
}

// header is what a reader needs before the first chunk that belongs to it.
type header[T any] struct {
	item T
	size int
}

// Begin starts a new run of chunks with a header of its own. Readers get it before the first chunk of the
// run; new readers wait for a random access point of the run.
func (l *Log[T]) Begin(item T, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head = &header[T]{item, size}
	l.found = false
}

// Append adds a chunk of size bytes at time now and wakes the readers. It does not block.
func (l *Log[T]) Append(item T, size int, randomAccess bool, now time.Time) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	if randomAccess {
		l.random, l.found = l.first+uint64(len(l.entries)), true
	}
	l.entries = append(l.entries, entry[T]{item, size, now, l.head})
	before := l.bytes
	l.bytes += size
	l.evict(now)
	delta := l.bytes - before
	wake := l.wake
	l.wake = nil
	l.mu.Unlock()

	if wake != nil {
		close(wake)
	}
	if l.OnSize != nil {
		l.OnSize(delta)
	}
}

// evict drops what no reader can want: whatever is over the bounds, and what lies before the newest random access
// point and is older than MaxLag, since a reader there would jump.
func (l *Log[T]) evict(now time.Time) {
	n, most := 0, l.MaxBytes
	if l.Room != nil {
		most = min(most, l.Room())
	}
	for ; n < len(l.entries)-1; n++ {
		e := &l.entries[n]
		late := l.found && l.first+uint64(n) < l.random && now.Sub(e.at) > l.MaxLag
		if l.bytes <= most && !late {
			break
		}
		l.bytes -= e.size
		*e = entry[T]{} // append may keep the array for long
	}
	l.entries = l.entries[n:]
	l.first += uint64(n)
}

// Close ends the log. Readers get what is left, then ErrClosed.
func (l *Log[T]) Close() {
	l.mu.Lock()
	already := l.closed
	l.closed = true
	wake, kept := l.wake, l.bytes
	l.wake = nil
	l.mu.Unlock()
	if wake != nil {
		close(wake)
	}
	if l.OnSize != nil && !already {
		l.OnSize(-kept)
	}
}

// Cursor returns a new reader. Its first chunk will be the newest random access point's.
func (l *Log[T]) Cursor() *Cursor[T] { return &Cursor[T]{log: l} }

// Cursor is one reader's place in a Log. It is used by one goroutine.
type Cursor[T any] struct {
	log    *Log[T]
	next   uint64
	synced bool // next is a place where decoding goes on
	head   *header[T]

	present bool      // the reader has had all that there was before it came
	chunks  int       // in the last batch
	since   time.Time // when the first one of them was appended
}

// Poll appends to dst what comes next, in order, and returns it. Where there is nothing yet it returns an
// empty batch and a channel that is closed when it is worth to poll again. The error is ErrClosed.
func (c *Cursor[T]) Poll(dst []T) (batch []T, wake <-chan struct{}, err error) {
	l := c.log
	l.mu.Lock()
	c.chunks = 0
	skipped := c.seek()
	if c.synced {
		dst = c.collect(dst)
	}
	switch {
	case len(dst) > 0:
	case l.closed:
		err = ErrClosed
	default:
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		wake = l.wake
		c.present = true
	}
	l.mu.Unlock()
	if skipped && l.OnSkip != nil {
		l.OnSkip()
	}
	return dst, wake, err
}

// Last says how many chunks the last batch has, headers apart, and when the first of them was appended. The time is zero
// while the reader gets what was there before it came.
func (c *Cursor[T]) Last() (chunks int, since time.Time) {
	if !c.present {
		return c.chunks, time.Time{}
	}
	return c.chunks, c.since
}

// seek puts the cursor where its reader can go on, and says whether that left something out.
func (c *Cursor[T]) seek() (skipped bool) {
	l := c.log
	end := l.first + uint64(len(l.entries))
	if c.synced {
		switch {
		case c.next >= end:
			return false
		case c.next < l.first:
			c.synced = false
		case l.found && l.random > c.next && l.entries[len(l.entries)-1].at.Sub(l.entries[c.next-l.first].at) > l.MaxLag:
			c.synced = false
		default:
			return false
		}
		skipped = true
	}
	if l.found && l.random >= l.first {
		c.next, c.synced = l.random, true
	}
	return skipped
}

func (c *Cursor[T]) collect(dst []T) []T {
	l := c.log
	size := 0
	for i := c.next - l.first; i < uint64(len(l.entries)) && len(dst) < batchItems && size < batchBytes; i++ {
		e := &l.entries[i]
		if e.head != c.head {
			if c.head == nil || !l.HeaderOnce {
				dst = append(dst, e.head.item)
				size += e.head.size
			}
			c.head = e.head
		}
		if c.chunks == 0 {
			c.since = e.at
		}
		dst = append(dst, e.item)
		size += e.size
		c.chunks++
		c.next++
	}
	return dst
}
