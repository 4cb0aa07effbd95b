// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// maxRead is how much the proxy reads at once.
const maxRead = 32 << 10

// proxied is one connection through a Proxy.
type proxied struct {
	proxy  *Proxy
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	ends   [2]end // by Side
}

type end struct {
	conn     net.Conn
	vanished atomic.Bool // what it sends goes nowhere, and so may what is sent to it
}

func newProxied(p *Proxy, client, server net.Conn) *proxied {
	c := &proxied{proxy: p}
	c.ctx, c.cancel = context.WithCancel(p.ctx)
	c.ends[ClientSide].conn, c.ends[ServerSide].conn = client, server
	return c
}

// run forwards both ways, until both have ended.
func (c *proxied) run() {
	var both sync.WaitGroup
	both.Go(func() { c.pipe(ClientSide) })
	both.Go(func() { c.pipe(ServerSide) })
	both.Wait()
}

// end closes both sides.
func (c *proxied) end() {
	c.cancel()
	c.ends[ClientSide].conn.Close()
	c.ends[ServerSide].conn.Close()
}

func (c *proxied) reset() {
	for i := range c.ends {
		_ = c.ends[i].conn.(*net.TCPConn).SetLinger(0) // an error says that it is closed already
	}
	c.end()
}

// pipe forwards what that side sends. The end of one direction ends both, but for the end of a side that vanished.
func (c *proxied) pipe(side Side) {
	buf := make([]byte, maxRead)
	for {
		n, ended := c.ends[side].conn.Read(buf)
		err := c.pass(side, buf[:n])
		switch {
		case err == nil && ended == nil:
		case err == nil && c.ends[side].vanished.Load():
			return // the other side does not hear of it
		default:
			c.end()
			return
		}
	}
}

// pass sends what came from that side on, in pieces as small as the rate asks. It returns when the end that followed may be sent on
// too.
func (c *proxied) pass(side Side, data []byte) error {
	src, dst, limit := &c.ends[side], &c.ends[1-side], c.proxy.limits[side]
	for {
		if err := c.proxy.flowing(c.ctx); err != nil {
			return err
		}
		if len(data) == 0 || src.vanished.Load() {
			return nil
		}
		piece := data
		if limit.Limit() != rate.Inf {
			piece = data[:min(len(data), limit.Burst())]
		}
		if err := limit.WaitN(c.ctx, len(piece)); err != nil {
			if c.ctx.Err() != nil {
				return err
			}
			continue // the rate was lowered meanwhile: a smaller piece
		}
		if _, err := dst.conn.Write(piece); err != nil && !dst.vanished.Load() {
			return err
		}
		data = data[len(piece):]
	}
}
