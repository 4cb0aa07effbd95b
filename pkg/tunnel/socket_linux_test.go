// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An option is set on the TCP socket below TLS and the WebSocket.
func TestTuneSocket(t *testing.T) {
	edge, cloud := dial(t, patient)
	if err := TuneSocket(edge.NetConn(), SocketOptions{
		UserTimeout: UserTimeout, MaxRTO: MaxRTO, UnsentBytes: 32 << 10, NoKeepAlive: true, Congestion: []string{"no such one", "reno"},
	}); err != nil {
		t.Fatal(err)
	}
	if err := SetPacingRate(edge.NetConn(), 1<<20); err != nil {
		t.Error(err)
	}
	if err := control(edge.NetConn(), func(fd int) error {
		for _, c := range []struct {
			name                string
			level, option, want int
		}{
			{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 12000},
			{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 32 << 10},
			{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0},
			{"SO_MAX_PACING_RATE", unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, 1 << 20},
		} {
			if got, err := unix.GetsockoptInt(fd, c.level, c.option); err != nil || got != c.want {
				t.Errorf("%s is %d, %v, want %d", c.name, got, err, c.want)
			}
		}
		if got, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, tcpRTOMax); !errors.Is(err, unix.ENOPROTOOPT) && (err != nil || got != 2000) {
			t.Errorf("TCP_RTO_MAX_MS is %d, %v", got, err)
		}
		name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if err != nil || name != "reno" {
			t.Errorf("congestion control %q, %v", name, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := SetPacingRate(edge.NetConn(), 0); err != nil {
		t.Error(err)
	}
	if err := TuneSocket(cloud.NetConn(), SocketOptions{}); err != nil {
		t.Error(err)
	}
}

func TestSocketInfo(t *testing.T) {
	edge, cloud := dial(t, patient)
	if err := edge.WriteUnit(exampleUnit()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cloud.Read(); err != nil {
		t.Fatal(err)
	}
	// The cloud's answer acknowledges the unit, if nothing did before.
	if err := cloud.WriteMessage(&Ack{Sequence: 1}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := edge.Read(); err != nil {
		t.Fatal(err)
	}
	info, err := SocketInfo(edge.NetConn())
	if err != nil {
		t.Fatal(err)
	}
	if info.RTT <= 0 || info.RTT > time.Minute || info.MinRTT > info.RTT*10 || info.Unacked != 0 || info.LastAck > time.Minute ||
		info.LastData > time.Minute || info.Needless > info.Retransmits {
		t.Errorf("%+v", info)
	}
}

func TestSocketsThatAreNone(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	_, infoErr := SocketInfo(Watch(a))
	for _, err := range []error{infoErr, TuneSocket(a, SocketOptions{}), SetPacingRate(a, 1)} {
		if !errors.Is(err, ErrNotTCP) {
			t.Errorf("got %v", err)
		}
	}
	edge, _ := dial(t, patient)
	edge.ws.Close()
	if err := TuneSocket(edge.NetConn(), SocketOptions{}); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a closed socket: %v", err)
	}
}
