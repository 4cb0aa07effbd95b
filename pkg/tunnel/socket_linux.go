// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// tcpRTOMax is TCP_RTO_MAX_MS of linux/tcp.h, which x/sys does not have yet.
const tcpRTOMax = 44

// TuneSocket sets o on the TCP socket below c. It tries all of them; the error says which were refused. A connection
// works without any of them, only worse, so that callers may go on.
func TuneSocket(c net.Conn, o SocketOptions) error {
	return control(c, func(fd int) error {
		set := func(name string, option, value int) error {
			if value == 0 {
				return nil
			}
			err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option, value)
			if err == nil || errors.Is(err, unix.ENOPROTOOPT) { // a kernel older than the option
				return nil
			}
			return fmt.Errorf("setting %s to %d: %w", name, value, err)
		}
		errs := []error{
			set("TCP_USER_TIMEOUT", unix.TCP_USER_TIMEOUT, int(o.UserTimeout.Milliseconds())),
			set("TCP_RTO_MAX_MS", tcpRTOMax, int(o.MaxRTO.Milliseconds())),
			set("TCP_NOTSENT_LOWAT", unix.TCP_NOTSENT_LOWAT, o.UnsentBytes),
		}
		for _, name := range o.Congestion {
			if unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name) == nil {
				break
			}
		}
		if o.NoKeepAlive {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0); err != nil {
				errs = append(errs, fmt.Errorf("clearing SO_KEEPALIVE: %w", err))
			}
		}
		return errors.Join(errs...)
	})
}

// SetPacingRate bounds how fast the TCP socket below c sends, in bytes per second (SO_MAX_PACING_RATE); 0 is no bound.
func SetPacingRate(c net.Conn, bytesPerSecond uint64) error {
	if bytesPerSecond == 0 {
		bytesPerSecond = ^uint64(0)
	}
	return control(c, func(fd int) error {
		if err := unix.SetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, bytesPerSecond); err != nil {
			return fmt.Errorf("setting SO_MAX_PACING_RATE: %w", err)
		}
		return nil
	})
}

// SocketInfo asks the kernel about the TCP socket below c (TCP_INFO).
func SocketInfo(c net.Conn) (TCPInfo, error) {
	var info TCPInfo
	err := control(c, func(fd int) error {
		raw, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return fmt.Errorf("getting TCP_INFO: %w", err)
		}
		info = TCPInfo{
			RTT: microseconds(raw.Rtt), MinRTT: microseconds(raw.Min_rtt), Unacked: raw.Unacked,
			LastAck: milliseconds(raw.Last_ack_recv), LastData: milliseconds(raw.Last_data_recv),
			Retransmits: raw.Total_retrans, Needless: raw.Dsack_dups,
		}
		return nil
	})
	return info, err
}

func microseconds(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }

func milliseconds(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }

func control(c net.Conn, f func(fd int) error) error {
	tcp, ok := tcpConn(c)
	if !ok {
		return ErrNotTCP
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("reaching the socket: %w", err)
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return fmt.Errorf("reaching the socket: %w", err)
	}
	return inner
}
