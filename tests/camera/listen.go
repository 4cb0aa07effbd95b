// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package camera

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Free ports are taken from below those that systems give to outgoing connections (32768 and up on Linux,
// 49152 by RFC 6335): nothing takes the port of a camera that a test stops and starts again, and a client that
// keeps dialling it cannot connect to itself.
const (
	firstPort = 20000
	lastPort  = 32000
	attempts  = 100
)

// listenTCP listens on a TCP address, on a free port if the port is 0.
func listenTCP(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if port != "0" {
		return net.Listen("tcp", address)
	}
	for range attempts {
		var ln net.Listener
		if ln, err = net.Listen("tcp", randomAddress(host, 1)); err == nil {
			return ln, nil
		}
	}
	return nil, fmt.Errorf("no free port: %w", err)
}

// listenUDPPair opens two UDP sockets on the host of address, the first on an even port for RTP and the
// second on the next for RTCP (RFC 3550 section 11).
func listenUDPPair(address string) (rtp, rtcp *net.UDPConn, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	for range attempts {
		var addr *net.UDPAddr
		if addr, err = net.ResolveUDPAddr("udp", randomAddress(host, 2)); err != nil {
			return nil, nil, err
		}
		if rtp, err = net.ListenUDP("udp", addr); err != nil {
			continue
		}
		addr.Port++
		if rtcp, err = net.ListenUDP("udp", addr); err == nil {
			return rtp, rtcp, nil
		}
		err = errors.Join(err, rtp.Close())
	}
	return nil, nil, fmt.Errorf("no free pair of ports: %w", err)
}

// randomAddress returns host and a random port that is a multiple of step.
func randomAddress(host string, step int) string {
	port := firstPort + rand.IntN((lastPort-firstPort)/step)*step
	return net.JoinHostPort(host, strconv.Itoa(port))
}
