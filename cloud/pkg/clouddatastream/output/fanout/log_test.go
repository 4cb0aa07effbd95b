// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fanout

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// at is the time of the n-th chunk: they are a second apart.
func at(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

// add appends chunks named by letters: upper case is a random access point.
func add(l *Log[string], chunks string, from int) {
	for i, c := range chunks {
		l.Append(string(c), 10, c < 'a', at(from+i))
	}
}

// drain polls until there is nothing more now.
func drain(t *testing.T, c *Cursor[string]) (out string, err error) {
	t.Helper()
	for {
		batch, wake, err := c.Poll(nil)
		for _, s := range batch {
			out += s
		}
		switch {
		case err != nil || wake != nil:
			if len(batch) > 0 {
				t.Fatalf("a batch %q together with %v", batch, err)
			}
			return out, err
		case len(batch) == 0:
			t.Fatal("neither a batch nor a channel nor an error")
		}
	}
}

func want(t *testing.T, what string, c *Cursor[string], want string) {
	t.Helper()
	if got, err := drain(t, c); got != want || err != nil {
		t.Errorf("%s: got %q, %v, want %q", what, got, err, want)
	}
}

func TestReaderBegins(t *testing.T) {
	l := &Log[string]{MaxBytes: 1000, MaxLag: 3 * time.Second}
	c := l.Cursor()
	want(t, "an empty log", c, "")
	add(l, "ab", 0)
	want(t, "before the first random access point", c, "")
	add(l, "Cd", 2)
	want(t, "from the random access point on", c, "Cd")
	want(t, "a second reader", l.Cursor(), "Cd")
	add(l, "eFg", 4)
	want(t, "the rest", c, "eFg")
	want(t, "a late reader begins at the newest", l.Cursor(), "Fg")
}

func TestSlowReader(t *testing.T) {
	for _, c := range []struct {
		name, behind, want string
		skips              int
	}{
		{"within MaxLag", "bcde", "bcde", 0},
		{"within MaxLag, over a random access point", "bCde", "bCde", 0},
		{"behind, but nothing to jump to", "bcdefghi", "bcdefghi", 0},
		{"behind, but at a random access point", "Bcdefghi", "Bcdefghi", 0},
		{"behind", "bcdefGh", "Gh", 1},
		{"behind, jumps to the newest", "bCdEfGhIj", "Ij", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			skips := 0
			l := &Log[string]{MaxBytes: 1000, MaxLag: 3 * time.Second, OnSkip: func() { skips++ }}
			reader := l.Cursor()
			add(l, "A", 0)
			want(t, "the first chunk", reader, "A")
			add(l, c.behind, 1)
			want(t, "the rest", reader, c.want)
			if skips != c.skips {
				t.Errorf("%d skips, want %d", skips, c.skips)
			}
		})
	}
}

func TestEvictionByBytes(t *testing.T) {
	skips, kept := 0, 0
	l := &Log[string]{MaxBytes: 50, MaxLag: time.Hour, OnSkip: func() { skips++ }, OnSize: func(d int) { kept += d }}
	reader, slow := l.Cursor(), l.Cursor()
	add(l, "Ab", 0)
	want(t, "reader", reader, "Ab")
	want(t, "slow reader", slow, "Ab")
	add(l, "cdefg", 2) // A and b go
	want(t, "reader goes on", reader, "cdefg")
	want(t, "a new reader finds no random access point", l.Cursor(), "")
	add(l, "h", 7) // c goes, which slow has not read
	want(t, "slow reader waits", slow, "")
	if skips != 1 {
		t.Errorf("%d skips, want 1", skips)
	}
	add(l, "Ij", 8)
	want(t, "slow reader resumes", slow, "Ij")
	want(t, "reader lost nothing", reader, "hIj")
	if skips != 1 || kept != 50 {
		t.Errorf("%d skips and %d bytes, want 1 and 50", skips, kept)
	}
	l.Append("K", 500, true, at(20)) // alone over the bound: it is kept all the same
	want(t, "reader", reader, "K")
	want(t, "a new reader", l.Cursor(), "K")
	l.Close()
	l.Close()
	if kept != 0 {
		t.Errorf("%d bytes behind Close", kept)
	}
}

func TestEvictionByAge(t *testing.T) {
	kept := 0
	l := &Log[string]{MaxBytes: 1000, MaxLag: 3 * time.Second, OnSize: func(d int) { kept += d }}
	reader := l.Cursor()
	for n, chunk := range []string{"A", "b", "C", "d", "e", "f", "g", "h", "i"} {
		add(l, chunk, n)
		want(t, "reader", reader, chunk)
	}
	if kept != 70 {
		t.Errorf("keeps %d bytes, want 70: from the newest random access point on", kept)
	}
	add(l, "J", 9)
	if kept != 40 {
		t.Errorf("keeps %d bytes, want 40: those within MaxLag", kept)
	}
	want(t, "a new reader", l.Cursor(), "J")
	want(t, "reader", reader, "J")
}

func TestHeader(t *testing.T) {
	l := &Log[string]{MaxBytes: 1000, MaxLag: 3 * time.Second}
	first := l.Cursor()
	l.Begin("1", 1)
	want(t, "a header alone", first, "")
	add(l, "Ab", 0)
	want(t, "the header is in front", first, "1Ab")
	add(l, "c", 2)
	want(t, "and only once", first, "c")
	slow := l.Cursor()
	want(t, "each reader has it", slow, "1Abc")

	l.Begin("2", 1)
	want(t, "a new reader waits for the new run", l.Cursor(), "")
	add(l, "De", 3)
	want(t, "a new run", first, "2De")
	want(t, "a new reader", l.Cursor(), "2De")

	l.Begin("3", 1)
	add(l, "F", 5)
	l.Begin("4", 1)
	add(l, "Gh", 10)
	want(t, "a reader who jumps over a run does not see its header", slow, "4Gh")
	want(t, "nor do others who are behind", first, "4Gh")
	jumper := l.Cursor()
	want(t, "jumper", jumper, "4Gh")
	add(l, "ijklmN", 12)
	want(t, "a jump within the run repeats no header", jumper, "N")
}

func TestHeaderWithinLag(t *testing.T) {
	l := &Log[string]{MaxBytes: 1000, MaxLag: time.Hour}
	c := l.Cursor()
	l.Begin("1", 1)
	add(l, "A", 0)
	want(t, "first run", c, "1A")
	add(l, "b", 1)
	l.Begin("2", 1)
	add(l, "C", 2)
	l.Begin("3", 1)
	add(l, "D", 3)
	want(t, "every run, each behind its header", c, "b2C3D")
}

func TestClose(t *testing.T) {
	l := &Log[string]{MaxBytes: 1000, MaxLag: time.Hour}
	waiting, behind := l.Cursor(), l.Cursor()
	add(l, "Ab", 0)
	want(t, "both", waiting, "Ab")
	_, wake, err := waiting.Poll(nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	<-wake
	l.Append("c", 10, false, at(3))
	for name, c := range map[string]struct {
		cursor *Cursor[string]
		want   string
	}{"at the end": {waiting, ""}, "behind": {behind, "Ab"}, "new": {l.Cursor(), "Ab"}} {
		for range 2 {
			if got, err := drain(t, c.cursor); got != c.want || !errors.Is(err, ErrClosed) {
				t.Errorf("%s: got %q, %v, want %q, ErrClosed", name, got, err, c.want)
			}
			c.want = ""
		}
	}
	empty := &Log[string]{MaxBytes: 1000, MaxLag: time.Hour}
	c := empty.Cursor()
	empty.Close()
	if _, err := drain(t, c); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestBatchesAreBounded(t *testing.T) {
	l := &Log[string]{MaxBytes: 100 << 20, MaxLag: time.Hour}
	c := l.Cursor()
	for n := range 1000 {
		l.Append("x", 1, n == 0, at(0))
	}
	for n := 0; n < 1000; {
		batch, _, err := c.Poll(nil)
		if err != nil || len(batch) == 0 || len(batch) > batchItems {
			t.Fatalf("a batch of %d, %v", len(batch), err)
		}
		n += len(batch)
	}
	for range 4 {
		l.Append("x", batchBytes, true, at(0))
	}
	if batch, _, _ := c.Poll(nil); len(batch) != 1 {
		t.Errorf("a batch of %d large chunks, want 1", len(batch))
	}
}

// Readers in parallel, each fast enough, see everything in order.
func TestManyReaders(t *testing.T) {
	const readers, chunks = 50, 2000
	var kept atomic.Int64
	l := &Log[int]{MaxBytes: 1 << 30, MaxLag: time.Hour, OnSize: func(d int) { kept.Add(int64(d)) }, OnSkip: func() { t.Error("a skip") }}
	l.Append(0, 10, true, epoch)
	var all sync.WaitGroup
	var begun sync.WaitGroup
	begun.Add(readers)
	for range readers {
		all.Go(func() {
			c := l.Cursor()
			next := 0
			var batch []int
			for {
				var wake <-chan struct{}
				var err error
				batch, wake, err = c.Poll(batch[:0])
				for _, n := range batch {
					if n != next {
						t.Errorf("got %d, want %d", n, next)
						next = n
					}
					if next == 0 {
						begun.Done()
					}
					next++
				}
				switch {
				case err != nil:
					if next != chunks || !errors.Is(err, ErrClosed) {
						t.Errorf("ended at %d with %v", next, err)
					}
					return
				case len(batch) == 0:
					<-wake
				}
			}
		})
	}
	begun.Wait()
	for n := 1; n < chunks; n++ {
		l.Append(n, 10, n%25 == 0, epoch)
	}
	l.Close()
	all.Wait()
	if kept.Load() != 0 {
		t.Errorf("%d bytes behind Close", kept.Load())
	}
}

// Slow readers who lose the race with eviction still see an order without holes between random access points.
func TestSlowReadersInParallel(t *testing.T) {
	const chunks = 5000
	var skips atomic.Int64
	l := &Log[int]{MaxBytes: 300, MaxLag: 20 * time.Second, OnSkip: func() { skips.Add(1) }}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			c := l.Cursor()
			last := -1
			for {
				batch, wake, err := c.Poll(nil)
				for _, n := range batch {
					if n != last+1 && (n <= last || n%7 != 0) {
						t.Errorf("from %d to %d", last, n)
					}
					last = n
				}
				if err != nil {
					return
				}
				if len(batch) == 0 {
					<-wake
				}
			}
		})
	}
	for n := range chunks {
		l.Append(n, 10, n%7 == 0, at(n))
	}
	l.Close()
	all.Wait()
}

// BenchmarkAppend is one chunk's way to readers who all wait for it, up to when all wait again.
func BenchmarkAppend(b *testing.B) {
	for _, readers := range []int{0, 100, 1000} {
		b.Run(fmt.Sprintf("waiting=%d", readers), func(b *testing.B) {
			l := &Log[int]{MaxBytes: 1 << 20, MaxLag: time.Second}
			var all, waiting sync.WaitGroup
			waiting.Add(readers)
			for range readers {
				all.Go(func() {
					c := l.Cursor()
					var batch []int
					for {
						var wake <-chan struct{}
						var err error
						batch, wake, err = c.Poll(batch[:0])
						if err != nil {
							return
						}
						if len(batch) == 0 {
							waiting.Done()
							<-wake
						}
					}
				})
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				waiting.Wait()
				waiting.Add(readers)
				l.Append(n, 4096, n%25 == 0, epoch)
			}
			waiting.Wait()
			l.Close()
			all.Wait()
		})
	}
}

// Last tells of each batch, and gives no time for what was there before the reader.
func TestLast(t *testing.T) {
	l := &Log[string]{MaxBytes: 1000, MaxLag: time.Hour}
	l.Begin("header", 6)
	add(l, "Abc", 0)
	c := l.Cursor()
	check := func(what string, batch, chunks int, since time.Time) {
		t.Helper()
		got, _, err := c.Poll(nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, at := c.Last(); len(got) != batch || n != chunks || !at.Equal(since) {
			t.Errorf("%s: a batch of %d, %d chunks since %v, want %d, %d, %v", what, len(got), n, at, batch, chunks, since)
		}
	}
	check("what was there", 4, 3, time.Time{})
	add(l, "d", 3)
	check("still behind", 1, 1, time.Time{})
	if got, wake, _ := c.Poll(nil); len(got) != 0 || wake == nil {
		t.Fatal("there is more")
	}
	add(l, "ef", 4)
	check("new chunks", 2, 2, at(4))
}

// What all logs may keep together can be less than what one may.
func TestRoom(t *testing.T) {
	room, kept := 1000, 0
	log := &Log[int]{MaxBytes: 500, MaxLag: time.Hour, Room: func() int { return room }, OnSize: func(delta int) { kept += delta }}
	for i := range 20 {
		log.Append(i, 100, i == 0, time.Unix(int64(i), 0))
	}
	if kept != 500 {
		t.Errorf("%d bytes are kept, want 500", kept)
	}
	room = 250
	log.Append(20, 100, false, time.Unix(20, 0))
	if kept != 200 {
		t.Errorf("%d bytes are kept, want 200", kept)
	}
	room = 0
	log.Append(21, 100, false, time.Unix(21, 0))
	if kept != 100 {
		t.Errorf("%d bytes are kept, want the newest", kept)
	}
}
