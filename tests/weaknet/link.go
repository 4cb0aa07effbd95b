// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package weaknet is a bad network for tests: the kernel's own TCP between two network namespaces, "edge" and "cloud", over a
// link that this process shuttles packet by packet. Delay, jitter, loss, rate and queue are set per direction and may change at
// any time; the kernel needs no netem. Nor are TBF or netem used where the kernel has them: at a host's own device they would hold
// the sender back, which a router on the way does not, and the same test would say different things on different machines. Only sockets made by the two hosts live in the namespaces, so that edge, cloud, camera and
// viewers can all be parts of the test's own process. It needs Linux, CAP_SYS_ADMIN, CAP_NET_ADMIN and /dev/net/tun.
package weaknet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sync/errgroup"
)

// ErrNotPermitted says that network namespaces or TUN devices cannot be had here.
var ErrNotPermitted = errors.New("weak network not permitted")

// The hosts' addresses, of TEST-NET-1 (RFC 5737). Each link has namespaces of its own, so that all can have the same.
var (
	edgeAddress  = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	cloudAddress = netip.AddrFrom4([4]byte{192, 0, 2, 2})
)

// Config is a link.
type Config struct {
	// Up is from edge to cloud, Down from cloud to edge.
	Up, Down Path
	// CongestionControl is the kernel's algorithm for TCP at both hosts; "cubic" if empty, whatever the machine's default is.
	// What the kernel does not have is replaced (see Link.CongestionControl).
	CongestionControl string
	// Seed starts the draws of loss and jitter.
	Seed uint64
}

// Link joins two hosts. It may be used by many goroutines at once.
type Link struct {
	Edge, Cloud *Host

	congestion string
	up, down   *direction
	cancel     context.CancelFunc
	carriers   *errgroup.Group
}

// New makes two hosts and a link between them, which Close ends. Its error is ErrNotPermitted where the process may not.
func New(cfg Config) (*Link, error) {
	edge, err := newHost(edgeAddress, cloudAddress)
	if err != nil {
		return nil, fmt.Errorf("making the edge host: %w", err)
	}
	cloud, err := newHost(cloudAddress, edgeAddress)
	if err != nil {
		edge.close()
		return nil, fmt.Errorf("making the cloud host: %w", err)
	}
	known := newFlows()
	l := &Link{
		Edge: edge, Cloud: cloud,
		up:   newDirection(newShaper(cfg.Up, cfg.Seed, 1), known),
		down: newDirection(newShaper(cfg.Down, cfg.Seed, 2), known),
	}
	if l.congestion, err = edge.chooseCongestion(cfg.CongestionControl); err != nil {
		edge.close()
		cloud.close()
		return nil, err
	}
	edge.congestion, cloud.congestion = l.congestion, l.congestion

	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.carriers, ctx = errgroup.WithContext(ctx)
	l.carriers.Go(func() error { return l.up.read(edge.tun) })
	l.carriers.Go(func() error { return l.up.write(ctx, cloud.tun) })
	l.carriers.Go(func() error { return l.down.read(cloud.tun) })
	l.carriers.Go(func() error { return l.down.write(ctx, edge.tun) })
	return l, nil
}

// CongestionControl is the algorithm in use. It differs from the one asked for if the kernel does not have that.
func (l *Link) CongestionControl() string { return l.congestion }

// SetUp changes the path from edge to cloud. Packets that are queued go on under the new path; those that were sent arrive as
// they would have.
func (l *Link) SetUp(path Path) { l.up.set(path) }

// SetDown changes the path from cloud to edge, as SetUp does.
func (l *Link) SetDown(path Path) { l.down.set(path) }

// Blackhole makes everything vanish in both directions, or ends that; the paths are otherwise kept.
func (l *Link) Blackhole(on bool) {
	l.up.blackhole(on)
	l.down.blackhole(on)
}

// Forget makes the TCP connections that there are vanish for good, as a router with address translation does that has lost its
// table: neither end is told, and new connections get through.
func (l *Link) Forget() { l.up.flows.forget() }

// Stats says what became of all packets so far.
func (l *Link) Stats() Stats { return Stats{Up: l.up.stats(), Down: l.down.stats()} }

// Close ends the link and waits for it. Sockets of the hosts stay open until their owner closes them; nothing answers any more.
// Its error says why the link had ended before, if it had.
func (l *Link) Close() error {
	l.cancel()
	l.Edge.close()
	l.Cloud.close()
	return l.carriers.Wait()
}
