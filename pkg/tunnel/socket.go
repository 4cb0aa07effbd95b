// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"errors"
	"net"
	"time"
)

// ErrNotTCP is a connection that has no TCP socket, or none that this platform lets be asked.
var ErrNotTCP = errors.New("no TCP socket that can be tuned")

// What tunnels ask of their sockets.
const (
	// UserTimeout ends a connection whose peer acknowledges nothing. The kernel finds that also where
	// nobody reads or writes just then.
	UserTimeout = 12 * time.Second
	// MaxRTO bounds the wait between two retransmissions. Doubling as usual, the wait would after an outage of 8 s
	// last 5 s more. It is above the round-trip time of a full queue on most links: a shorter one would send twice what is only late.
	MaxRTO = 2 * time.Second
)

// SocketOptions are options of a TCP socket, see tcp(7). The zero value of each leaves what the system does.
type SocketOptions struct {
	// UserTimeout is TCP_USER_TIMEOUT: how long sent data may stay unacknowledged, in whole milliseconds.
	UserTimeout time.Duration
	// MaxRTO is TCP_RTO_MAX_MS (Linux 6.15), at least a second. Older kernels go without.
	MaxRTO time.Duration
	// UnsentBytes is TCP_NOTSENT_LOWAT: how many bytes may wait in the kernel beside what is under way. Without
	// a bound it takes megabytes, and what is in there cannot be dropped any more.
	UnsentBytes int
	// Congestion is TCP_CONGESTION: names of algorithms, the first that the kernel has and allows is used. If
	// there is none, the system's stays.
	Congestion []string
	// NoKeepAlive turns TCP's keepalive off: a tunnel's pings do that, and more often.
	NoKeepAlive bool
}

// TCPInfo is what the kernel knows of a connection's way to its peer.
type TCPInfo struct {
	// RTT is the smoothed round-trip time, MinRTT the lowest of the kernel's window.
	RTT, MinRTT time.Duration
	// Unacked is the number of segments under way.
	Unacked uint32
	// LastAck is how long ago the peer's newest acknowledgement came.
	LastAck time.Duration
	// LastData is how long ago the newest bytes from the peer came, read or not.
	LastData time.Duration
	// Retransmits is the number of segments that were sent again since the connection began, Needless that of segments which the
	// peer says it had twice (DSACK, RFC 2883): they were not lost, only late.
	Retransmits, Needless uint32
}

// tcpConn finds the TCP connection below TLS and other wrappers that have a NetConn method.
func tcpConn(c net.Conn) (*net.TCPConn, bool) {
	for {
		switch t := c.(type) {
		case *net.TCPConn:
			return t, true
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		default:
			return nil, false
		}
	}
}
