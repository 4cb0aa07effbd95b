// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package limit

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"
)

// Listener bounds the connections of an http.Server. A connection waits until it has sent a request, and again between two. There may be only so
// many that wait, and no source may have more of them than all leave free: one more costs its source the one that waits longest. So
// those who connect and say nothing push out each other, and who says at once what he wants gets through, also one who
// shares an address with them.
type Listener struct {
	net.Listener
	// Quiet says that not much is to be heard of those who have taken their connection over: viewers, that is. Who talks all the same is
	// closed.
	Quiet   bool
	refused func()

	mu      sync.Mutex
	conns   shares[Source]
	waiting shares[Source] // among them
	queue   list.List      // those that wait, the longest first
	queues  map[Source]*list.List
}

// waitingPart is the part of all connections that may wait.
const waitingPart = 4

// NewListener lets so many connections be open at once. refused is called for each one that is closed for that.
func NewListener(l net.Listener, most int, refused func()) *Listener {
	return &Listener{
		Listener: l, refused: refused,
		conns: newShares[Source](most), waiting: newShares[Source](max(most/waitingPart, 1)), queues: make(map[Source]*list.List),
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err // http.Server looks at its type
		}
		tcp, ok := accepted.(*net.TCPConn)
		if !ok {
			return accepted, nil
		}
		c := &conn{TCPConn: tcp, source: SourceOf(tcp.RemoteAddr().String()), listener: l}
		victims, admitted := l.admit(c)
		l.close(victims)
		if admitted {
			return c, nil
		}
		l.refused()
		_ = tcp.Close()
	}
}

// admit lets c in, if need be in the place of others.
func (l *Listener) admit(c *conn) (victims []*conn, admitted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.waiting.fits(c.source) != nil || l.conns.fits(c.source) != nil {
		victim := l.victim(c.source)
		if victim == nil {
			return victims, false
		}
		l.forget(victim)
		victims = append(victims, victim)
	}
	l.conns.take(c.source)
	l.wait(c)
	return victims, true
}

func (l *Listener) close(victims []*conn) {
	for _, v := range victims {
		l.refused()
		_ = v.Close()
	}
}

// victim is what another connection of source costs: the one of its own that waits longest, or of all if it has none and is not the one
// who has too many. l.mu is held.
func (l *Listener) victim(source Source) *conn {
	queue := l.queues[source]
	if queue == nil {
		if l.conns.held[source] >= max(l.conns.total-l.conns.all, 1) {
			return nil // those that it has do not wait
		}
		queue = &l.queue
	}
	if queue.Len() == 0 {
		return nil
	}
	return queue.Front().Value.(*conn)
}

// wait puts c behind those that wait. l.mu is held.
func (l *Listener) wait(c *conn) {
	queue := l.queues[c.source]
	if queue == nil {
		queue = list.New()
		l.queues[c.source] = queue
	}
	l.waiting.take(c.source)
	c.open, c.place, c.placeOfSource = true, l.queue.PushBack(c), queue.PushBack(c)
}

// goOn takes c out of those that wait. l.mu is held.
func (l *Listener) goOn(c *conn) {
	if c.place == nil {
		return
	}
	queue := l.queues[c.source]
	l.queue.Remove(c.place)
	queue.Remove(c.placeOfSource)
	if queue.Len() == 0 {
		delete(l.queues, c.source)
	}
	l.waiting.giveBack(c.source)
	c.place, c.placeOfSource = nil, nil
}

// forget takes c out of everything. l.mu is held.
func (l *Listener) forget(c *conn) {
	if !c.open {
		return
	}
	l.goOn(c)
	l.conns.giveBack(c.source)
	c.open = false
}

// ConnState has to be that of the http.Server.
func (l *Listener) ConnState(nc net.Conn, state http.ConnState) {
	c := connBelow(nc)
	if c == nil {
		return
	}
	var victims []*conn
	defer func() { l.close(victims) }()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !c.open:
	case state == http.StateActive:
		l.goOn(c)
	case state == http.StateIdle && c.place == nil:
		for l.waiting.fits(c.source) != nil {
			victim := l.victim(c.source)
			if victim == nil {
				break
			}
			l.forget(victim)
			victims = append(victims, victim)
		}
		l.wait(c)
	case state == http.StateHijacked:
		l.goOn(c)
		if l.Quiet {
			now := time.Now()
			c.taken.Store(&now)
		}
	}
}

// Open returns how many connections are open, and how many of them wait.
func (l *Listener) Open() (all, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns.all, l.waiting.all
}
