// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

// gateInterval is how often open tunnels are looked at: whether their certificates are still good.
const gateInterval = 10 * time.Second

// nodeGate decides which nodes may have tunnels, and cuts off those that may not any more.
type nodeGate struct {
	revoked  *revocations
	metrics  *metrics
	interval time.Duration

	mu      sync.Mutex
	refused map[string]string // by node that has targets: why the controller does not let it in
	open    map[*openTunnel]struct{}
}

// openTunnel is a tunnel behind the gate.
type openTunnel struct {
	nodeIdentity
	cut context.CancelCauseFunc
}

func newNodeGate(revoked *revocations, m *metrics) *nodeGate {
	return &nodeGate{
		revoked: revoked, metrics: m, interval: gateInterval,
		refused: make(map[string]string), open: make(map[*openTunnel]struct{}),
	}
}

// check returns a *refusal if the node may have no tunnels now.
func (g *nodeGate) check(id nodeIdentity, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.checkLocked(id, now)
}

func (g *nodeGate) checkLocked(id nodeIdentity, now time.Time) error {
	if why := g.refused[id.node]; why != "" {
		return &refusal{refusedDeleted, why}
	}
	if now.After(id.chains[0][0].NotAfter) {
		return &refusal{refusedExpired, "the node's certificate has expired"}
	}
	return g.revoked.check(id.chains)
}

// enter lets a tunnel in. Its context ends, with a *refusal as its cause, when the node may not have it any more. The caller
// calls leave when the tunnel is gone.
func (g *nodeGate) enter(ctx context.Context, id nodeIdentity) (cut context.Context, leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.checkLocked(id, time.Now()); err != nil { // it may have changed since the handshake
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	t := &openTunnel{id, cancel}
	g.open[t] = struct{}{}
	return ctx, func() {
		g.mu.Lock()
		delete(g.open, t)
		g.mu.Unlock()
		cancel(nil)
	}, nil
}

// refuse lets a node in no more, for that reason, or again if there is none.
func (g *nodeGate) refuse(node, why string) {
	g.mu.Lock()
	if why == "" {
		delete(g.refused, node)
	} else {
		g.refused[node] = why
	}
	g.mu.Unlock()
	if why != "" {
		g.sweep(time.Now())
	}
}

// sweep cuts off the tunnels that would not be let in now.
func (g *nodeGate) sweep(now time.Time) {
	refused := make(map[*openTunnel]error)
	g.mu.Lock()
	for t := range g.open {
		if err := g.checkLocked(t.nodeIdentity, now); err != nil {
			delete(g.open, t)
			refused[t] = err
		}
	}
	g.mu.Unlock()
	for t, err := range refused {
		g.metrics.refuse(err)
		t.cut(err) // whoever serves the tunnel writes to it, not we
		klog.InfoS("Tunnel cut off", "node", t.node, "reason", err.Error())
	}
}

// run follows what is revoked or runs out, until ctx ends.
func (g *nodeGate) run(ctx context.Context) {
	t := time.NewTicker(g.interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			g.revoked.reload(now)
			g.sweep(now)
		}
	}
}
