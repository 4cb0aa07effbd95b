// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fanout

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// model is a Log that is slow and plain: it forgets nothing and works everything out anew.
type model struct {
	maxBytes   int
	maxLag     time.Duration
	headerOnce bool
	chunks     []modelChunk
	run        int
	first      int // the oldest chunk that may still be read
	closed     bool
}

type modelChunk struct {
	id, size, run int
	random        bool
	at            time.Time
}

type modelReader struct {
	next  int // -1: waits for a random access point
	run   int
	skips int
}

// newest is the newest random access point of the present run, or -1.
func (m *model) newest() int {
	for i := len(m.chunks) - 1; i >= 0 && m.chunks[i].run == m.run; i-- {
		if m.chunks[i].random {
			return i
		}
	}
	return -1
}

func (m *model) append(c modelChunk) {
	c.run = m.run
	m.chunks = append(m.chunks, c)
	last := len(m.chunks) - 1
	for ; m.first < last; m.first++ {
		bytes := 0
		for _, k := range m.chunks[m.first:] {
			bytes += k.size
		}
		if bytes <= m.maxBytes && (m.first >= m.newest() || c.at.Sub(m.chunks[m.first].at) <= m.maxLag) {
			break
		}
	}
}

// read returns everything that a reader gets now; headers are the negative number of their run.
func (m *model) read(r *modelReader) (out []int) {
	newest := m.newest()
	if newest < m.first {
		newest = -1
	}
	switch {
	case r.next < 0:
		r.next = newest
	case r.next < m.first:
		r.next, r.skips = newest, r.skips+1
	case r.next < newest && m.chunks[len(m.chunks)-1].at.Sub(m.chunks[r.next].at) > m.maxLag:
		r.next, r.skips = newest, r.skips+1
	}
	for r.next >= 0 && r.next < len(m.chunks) {
		c := m.chunks[r.next]
		if c.run != r.run {
			if r.run == 0 || !m.headerOnce {
				out = append(out, -c.run)
			}
			r.run = c.run
		}
		out = append(out, c.id)
		r.next++
	}
	return out
}

// TestModel does random things to a Log and to its model, which must agree on every read.
func TestModel(t *testing.T) {
	for seed := range uint64(100) {
		testModel(t, rand.New(rand.NewPCG(seed, 1)))
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func testModel(t *testing.T, random *rand.Rand) {
	m := &model{maxBytes: 100 + random.IntN(2000), maxLag: time.Duration(random.IntN(60)) * time.Second, headerOnce: random.IntN(2) == 0}
	skips, kept := 0, 0
	l := &Log[int]{
		MaxBytes: m.maxBytes, MaxLag: m.maxLag, HeaderOnce: m.headerOnce,
		OnSkip: func() { skips++ }, OnSize: func(d int) { kept += d },
	}
	begin := func() {
		m.run++
		l.Begin(-m.run, 1)
	}
	begin()

	cursors := make([]*Cursor[int], 1+random.IntN(5))
	readers := make([]modelReader, len(cursors))
	renew := func(i int) { cursors[i], readers[i].next, readers[i].run = l.Cursor(), -1, 0 }
	for i := range cursors {
		renew(i)
	}
	now := epoch
	for id := range 500 {
		switch random.IntN(40) {
		case 0:
			begin()
		case 1:
			renew(random.IntN(len(cursors)))
		case 2:
			now = now.Add(time.Duration(random.IntN(40)) * time.Second)
		}
		now = now.Add(time.Duration(random.IntN(3)) * time.Second)
		c := modelChunk{id: id, size: 1 + random.IntN(60), random: random.IntN(8) == 0, at: now}
		m.append(c)
		l.Append(c.id, c.size, c.random, c.at)
		for i := range cursors {
			if random.IntN(1+5*i) == 0 { // the first one is fast, the others ever slower
				compare(t, cursors[i], m, &readers[i])
			}
		}
		bytes := 0
		for _, k := range m.chunks[m.first:] {
			bytes += k.size
		}
		if kept != bytes {
			t.Fatalf("keeps %d bytes, want %d", kept, bytes)
		}
	}
	l.Close()
	m.closed = true
	total := 0
	for i := range cursors {
		compare(t, cursors[i], m, &readers[i])
		total += readers[i].skips
	}
	if skips != total || kept != 0 {
		t.Errorf("%d skips and %d bytes, want %d and 0", skips, kept, total)
	}
}

func compare(t *testing.T, c *Cursor[int], m *model, r *modelReader) {
	t.Helper()
	want := m.read(r)
	var got []int
	for {
		batch, wake, err := c.Poll(nil)
		got = append(got, batch...)
		if len(batch) > 0 {
			continue
		}
		if m.closed != errors.Is(err, ErrClosed) || m.closed == (wake != nil) {
			t.Fatalf("closed %t, but got %v and channel %v", m.closed, err, wake)
		}
		break
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}
