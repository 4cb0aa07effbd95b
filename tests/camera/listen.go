// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package camera

import (
	"errors"
	"fmt"
	"net"

	"github.com/kubeedge/datastream/tests/ports"
)

// attempts is how often another pair of ports is tried.
const attempts = 100

// listenUDPPair opens two UDP sockets on the host of address, the first on an even port for RTP and the
// second on the next for RTCP (RFC 3550 section 11).
func listenUDPPair(address string) (rtp, rtcp *net.UDPConn, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	for range attempts {
		var addr *net.UDPAddr
		if addr, err = net.ResolveUDPAddr("udp", ports.Next(host)); err != nil {
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
