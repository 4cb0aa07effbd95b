// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package weaknet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
)

// Host is one end of a link. Only Linux has hosts.
type Host struct {
	congestion string
	tun        *os.File
}

func newHost(_, _ netip.Addr) (*Host, error) {
	return nil, fmt.Errorf("%w on %s", ErrNotPermitted, runtime.GOOS)
}

func (*Host) close() {}

func (*Host) chooseCongestion(string) (string, error) { return "", ErrNotPermitted }

// Addr is the host's address.
func (*Host) Addr() netip.Addr { return netip.Addr{} }

// Listen opens a TCP listener.
func (*Host) Listen(context.Context, uint16) (net.Listener, error) { return nil, ErrNotPermitted }

// ListenPacket opens a UDP socket.
func (*Host) ListenPacket(context.Context, uint16) (net.PacketConn, error) {
	return nil, ErrNotPermitted
}

// DialContext connects the host to the other one.
func (*Host) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, ErrNotPermitted
}
