// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package limit shares what is scarce among those who want it: connections, turns, calls, memory. Nothing in it waits, and every table
// has a bound.
package limit

import "net/netip"

// Source is where somebody comes from: one address, or with IPv6 a /64, since whoever has one address of it has them all. The zero Source
// is that of everybody whose address cannot be told.
type Source = netip.Prefix

// ipv6Bits is the part of an IPv6 address that is given to one site at least (RFC 6177).
const ipv6Bits = 64

// SourceOf returns the source of an "address:port", as in http.Request.RemoteAddr.
func SourceOf(remote string) Source {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return Source{}
	}
	address, bits := peer.Addr().Unmap().WithZone(""), ipv6Bits
	if address.Is4() {
		bits = address.BitLen()
	}
	source, _ := address.Prefix(bits) // the address is valid, and has so many bits
	return source
}
