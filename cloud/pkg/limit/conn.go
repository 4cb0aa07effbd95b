// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package limit

import (
	"container/list"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// What a viewer may say, in bytes, once it is served: pongs and the like.
const (
	mayAnswer        = 64 << 10
	mayAnswerASecond = 1 << 10
)

var errTalks = errors.New("the viewer says more than there is to say")

// conn is a connection that a Listener counts. It is still a TCP connection for net.Buffers, which writes to no other in one call.
type conn struct {
	*net.TCPConn
	source   Source
	listener *Listener

	taken atomic.Pointer[time.Time] // when it was taken over from a Quiet listener's server, with the monotonic clock: the other may be set
	said  atomic.Int64              // bytes since

	// Of the listener, under its lock.
	open          bool
	place         *list.Element
	placeOfSource *list.Element
}

// connBelow finds the Listener's connection below TLS and other wrappers, or nil.
func connBelow(c net.Conn) *conn {
	for {
		switch t := c.(type) {
		case *conn:
			return t
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		default:
			return nil
		}
	}
}

// NetConn is the connection to tune.
func (c *conn) NetConn() net.Conn { return c.TCPConn }

// Close implements net.Conn.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.forget(c)
	c.listener.mu.Unlock()
	return c.TCPConn.Close()
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	taken := c.taken.Load()
	if taken == nil {
		return n, err
	}
	if c.said.Add(int64(n)) > mayAnswer+int64(time.Since(*taken).Seconds()*mayAnswerASecond) {
		_ = c.Close()
		return 0, errTalks
	}
	return n, err
}
