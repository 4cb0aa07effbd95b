// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package weaknet

import (
	"encoding/binary"
	"sync"
)

// flows knows the TCP connections on a link, as a router with address translation does.
type flows struct {
	mu        sync.Mutex
	forgotten map[flow]bool // nil until something was forgotten
	known     map[flow]bool
}

// flow names a connection by its ports, whichever way a packet goes.
type flow struct{ low, high uint16 }

const (
	ipv4       = 4
	tcp        = 6
	tcpMinimum = 20
	flagSYN    = 0x02
)

// parseTCP returns the connection of an IPv4 packet, and whether the packet begins it.
func parseTCP(packet []byte) (f flow, begins, ok bool) {
	if len(packet) < 20 || packet[0]>>4 != ipv4 || packet[9] != tcp {
		return flow{}, false, false
	}
	header := int(packet[0]&0xf) * 4
	if header < 20 || len(packet) < header+tcpMinimum {
		return flow{}, false, false
	}
	segment := packet[header:]
	a, b := binary.BigEndian.Uint16(segment), binary.BigEndian.Uint16(segment[2:])
	return flow{min(a, b), max(a, b)}, segment[13]&flagSYN != 0, true
}

// pass says whether a packet is of a connection that is not forgotten.
func (f *flows) pass(packet []byte) bool {
	key, begins, ok := parseTCP(packet)
	if !ok {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if begins {
		f.known[key] = true
		delete(f.forgotten, key)
	}
	return !f.forgotten[key]
}

// forget makes the connections that there are vanish.
func (f *flows) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.known {
		f.forgotten[key] = true
	}
	clear(f.known)
}

func newFlows() *flows { return &flows{forgotten: make(map[flow]bool), known: make(map[flow]bool)} }
