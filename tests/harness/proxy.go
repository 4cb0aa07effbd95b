// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/time/rate"
)

// Proxy is a TCP proxy between edge and TunnelServer that a test can cut, stall, slow down and leave half-open. It also counts what
// goes through it.
type Proxy struct {
	listener net.Listener
	target   string
	ctx      context.Context // ends with the proxy, and with it every connection
	cancel   context.CancelFunc
	limits   [2]*rate.Limiter // by the Side that sends

	mu    sync.Mutex
	conns map[*proxied]struct{}
	dials int
	down  bool
	flow  chan struct{} // closed unless the proxy is stalled
	done  sync.WaitGroup
}

// Side is one end of what the proxy connects.
type Side int

// The sides: the client is who dialled the proxy, the server whom the proxy dialled.
const (
	ClientSide Side = iota
	ServerSide
)

// NewProxy listens on a free port of the loopback and forwards to target.
func NewProxy(target string) (*Proxy, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	p := &Proxy{
		listener: l, target: target, conns: make(map[*proxied]struct{}), flow: make(chan struct{}),
		limits: [2]*rate.Limiter{rate.NewLimiter(rate.Inf, 0), rate.NewLimiter(rate.Inf, 0)},
	}
	close(p.flow)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.done.Go(p.accept)
	return p, nil
}

// Address is where the proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Dials is the number of connections that were accepted so far.
func (p *Proxy) Dials() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dials
}

// Cut closes every connection. The next ones go through, unless the proxy is down.
func (p *Proxy) Cut() { p.each((*proxied).end) }

// Reset ends every connection by a TCP reset on both sides. The next ones go through, unless the proxy is down.
func (p *Proxy) Reset() { p.each((*proxied).reset) }

// HalfOpen makes that side of every open connection vanish: nothing that it sends arrives any more, neither bytes nor its close.
// The other side stays connected, and may go on sending, until it closes by itself; its kernel sees no lack of acknowledgements
// (package weaknet has that). The next connections are whole.
func (p *Proxy) HalfOpen(side Side) {
	p.each(func(c *proxied) { c.ends[side].vanished.Store(true) })
}

func (p *Proxy) each(f func(*proxied)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		f(c)
	}
}

// SetDown refuses connections, or accepts them again. Those that are open are cut.
func (p *Proxy) SetDown(down bool) {
	p.mu.Lock()
	p.down = down
	p.mu.Unlock()
	if down {
		p.Cut()
	}
}

// Stall holds whatever either side sends, bytes and closes, and goes on accepting; or lets it through, in order and nothing lost.
// As on a real link, a sender is held back once the buffers are full: the kernel's, and one read of the proxy.
func (p *Proxy) Stall(stalled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flow:
		if stalled {
			p.flow = make(chan struct{})
		}
	default:
		if !stalled {
			close(p.flow)
		}
	}
}

// flowing returns when the proxy is not stalled, or ctx ends.
func (p *Proxy) flowing(ctx context.Context) error {
	p.mu.Lock()
	flow := p.flow
	p.mu.Unlock()
	select {
	case <-flow:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Rate bounds what the clients send and what the servers send, each in bytes a second of all connections together; 0 is without
// bound.
func (p *Proxy) Rate(client, server int) {
	for side, bytes := range [2]int{client, server} {
		limit, burst := rate.Limit(bytes), min(max(bytes/10, 1), maxRead)
		if bytes <= 0 {
			limit = rate.Inf
		}
		p.limits[side].SetBurst(burst)
		p.limits[side].SetLimit(limit)
	}
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.listener.Close()
	p.SetDown(true)
	p.cancel()
	p.done.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.done.Go(func() { p.forward(c) })
		}
	}
}

func (p *Proxy) forward(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	if p.down {
		p.mu.Unlock()
		return
	}
	p.dials++
	p.mu.Unlock()
	var d net.Dialer
	server, err := d.DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	c := newProxied(p, client, server)
	defer c.cancel()
	p.mu.Lock()
	if p.down {
		p.mu.Unlock()
		return
	}
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	c.run()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}
