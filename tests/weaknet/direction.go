// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package weaknet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// direction carries packets from one host to the other.
type direction struct {
	mu     sync.Mutex
	shaper *shaper
	sooner chan struct{} // the next packet is due at another time than the writer knows
	flows  *flows        // of both directions
}

func newDirection(s *shaper, f *flows) *direction {
	return &direction{shaper: s, sooner: make(chan struct{}, 1), flows: f}
}

// change does something that may move the time of the next packet.
func (d *direction) change(f func(s *shaper, now time.Time)) {
	d.mu.Lock()
	before := d.shaper.next()
	f(d.shaper, time.Now())
	changed := !d.shaper.next().Equal(before)
	d.mu.Unlock()
	if !changed {
		return
	}
	select {
	case d.sooner <- struct{}{}:
	default: // it will look anyway
	}
}

func (d *direction) set(path Path) {
	d.change(func(s *shaper, now time.Time) { s.set(now, path) })
}

func (d *direction) blackhole(on bool) {
	d.change(func(s *shaper, now time.Time) {
		path := s.path
		path.Blackhole = on
		s.set(now, path)
	})
}

func (d *direction) stats() Counters {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shaper.stats(time.Now())
}

// read takes packets from src, one a Read, until it is closed.
func (d *direction) read(src io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading from a host: %w", err)
		}
		if !d.flows.pass(buf[:n]) {
			d.change(func(s *shaper, _ time.Time) { s.vanish(n) })
			continue
		}
		d.change(func(s *shaper, now time.Time) { s.push(now, slices.Clone(buf[:n])) })
	}
}

// write gives each packet to dst when it is due, until ctx ends.
func (d *direction) write(ctx context.Context, dst io.Writer) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due [][]byte
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.sooner:
		case <-timer.C:
		}
		d.mu.Lock()
		due = d.shaper.release(time.Now(), due[:0])
		next := d.shaper.next()
		d.mu.Unlock()
		for _, packet := range due {
			if _, err := dst.Write(packet); err != nil && !errors.Is(err, os.ErrClosed) {
				return fmt.Errorf("writing to a host: %w", err)
			}
		}
		clear(due)
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}
