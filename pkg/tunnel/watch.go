// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Watch makes a dialled or accepted connection ready to carry a tunnel, and goes below TLS. Up to NewConn it
// behaves as c. From then on it ends when the peer is dead by the tunnel's Timing, in bytes and not in messages: a key frame, or
// only a TLS record of it, may take long on a weak link while both ends are well.
func Watch(c net.Conn) net.Conn { return &watched{Conn: c} }

type watched struct {
	net.Conn
	timing     atomic.Pointer[Timing]    // nil before NewConn
	writeUntil atomic.Pointer[time.Time] // what SetWriteDeadline was told, if anything
	broken     atomic.Bool               // bytes are missing behind which nothing makes sense
}

// watchedBelow finds what Watch returned below TLS and other wrappers, or nil.
func watchedBelow(c net.Conn) *watched {
	for {
		switch t := c.(type) {
		case *watched:
			return t
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		default:
			return nil
		}
	}
}

// NetConn is the connection that is watched.
func (w *watched) NetConn() net.Conn { return w.Conn }

// begin starts watching.
func (w *watched) begin(t Timing) {
	w.timing.Store(&t)
	w.alive(t)
}

// alive gives the peer another ReadTimeout: something came from it.
func (w *watched) alive(t Timing) { _ = w.SetReadDeadline(time.Now().Add(t.ReadTimeout)) }

// Read implements net.Conn.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if t := w.timing.Load(); n > 0 && t != nil {
		w.alive(*t)
	}
	return n, err
}

// writeLooks is how often, within a WriteTimeout, Write looks whether the socket has taken anything.
const writeLooks = 4

// Write implements net.Conn. It fails when the socket takes not one byte for a WriteTimeout.
func (w *watched) Write(p []byte) (int, error) {
	t := w.timing.Load()
	if t == nil {
		return w.Conn.Write(p)
	}
	if w.broken.Load() {
		return 0, os.ErrDeadlineExceeded // at once: closing must not wait for a dead peer again
	}
	written := 0
	progress := time.Now()
	for {
		until := time.Now().Add(t.WriteTimeout / writeLooks)
		end := w.writeUntil.Load()
		if end != nil && end.Before(until) {
			until = *end
		}
		_ = w.Conn.SetWriteDeadline(until)
		n, err := w.Conn.Write(p[written:])
		written += n
		if err == nil {
			return written, nil
		}
		now := time.Now()
		if n > 0 {
			progress = now
		}
		over := now.Sub(progress) >= t.WriteTimeout || end != nil && !now.Before(*end)
		if over || !errors.Is(err, os.ErrDeadlineExceeded) {
			w.broken.Store(true)
			return written, err
		}
	}
}

// SetWriteDeadline implements net.Conn. It bounds writes beside the watching.
func (w *watched) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		w.writeUntil.Store(nil)
	} else {
		w.writeUntil.Store(&t)
	}
	if w.timing.Load() != nil {
		return nil // for the next Write
	}
	return w.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (w *watched) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}
