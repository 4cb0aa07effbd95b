// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// proxyTest is a proxy in front of a listener.
type proxyTest struct {
	*testing.T
	*Proxy
	listener net.Listener
}

func newProxyTest(t *testing.T) *proxyTest {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p, err := NewProxy(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return &proxyTest{t, p, l}
}

// connect dials through the proxy.
func (p *proxyTest) connect() (client, server net.Conn) {
	p.Helper()
	client, err := net.Dial("tcp", p.Address())
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { client.Close() })
	server, err = p.listener.Accept()
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { server.Close() })
	deadline := time.Now().Add(patience)
	if err := errors.Join(client.SetDeadline(deadline), server.SetDeadline(deadline)); err != nil {
		p.Fatal(err)
	}
	p.exchange(client, server)
	p.exchange(server, client)
	return client, server
}

func (p *proxyTest) send(from net.Conn, what string) {
	p.Helper()
	if _, err := io.WriteString(from, what); err != nil {
		p.Fatal(err)
	}
}

func (p *proxyTest) receive(to net.Conn, want string) {
	p.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != want {
		p.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func (p *proxyTest) exchange(from, to net.Conn) {
	p.Helper()
	p.send(from, "something")
	p.receive(to, "something")
}

// silent checks that nothing comes for a while, neither bytes nor a close. It cannot fail for slowness.
func (p *proxyTest) silent(conn net.Conn) {
	p.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond)); err != nil {
		p.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		p.Fatalf("read %d bytes, %v; want nothing", n, err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.Fatal(err)
	}
}

func (p *proxyTest) closed(conn net.Conn) {
	p.Helper()
	if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		p.Fatalf("read %d bytes, %v; want the end", n, err)
	}
}

func TestProxyCutAndDown(t *testing.T) {
	p := newProxyTest(t)
	client, server := p.connect()
	p.Cut()
	p.closed(client)
	p.closed(server)
	client, server = p.connect()
	p.SetDown(true)
	p.closed(client)
	p.closed(server)
	refused, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	p.closed(refused)
	p.SetDown(false)
	p.connect()
	if n := p.Dials(); n != 3 {
		t.Errorf("%d dials, want 3", n)
	}
}

func TestProxyCloses(t *testing.T) {
	p := newProxyTest(t)
	client, server := p.connect()
	client.Close()
	p.closed(server)
	client, server = p.connect()
	server.Close()
	p.closed(client)
}

func TestProxyStall(t *testing.T) {
	p := newProxyTest(t)
	client, server := p.connect()
	p.Stall(true)
	p.Stall(true)
	p.send(client, "up")
	p.send(server, "down")
	p.silent(server)
	p.silent(client)

	late, err := net.Dial("tcp", p.Address()) // accepted, and held too
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	lateServer, err := p.listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer lateServer.Close()
	p.send(late, "late")
	p.silent(lateServer)
	late.Close()
	p.silent(lateServer)

	p.Stall(false)
	p.receive(server, "up")
	p.receive(client, "down")
	p.receive(lateServer, "late")
	p.closed(lateServer)
	p.exchange(client, server)
	p.Stall(true)
	p.send(client, "lost with the connection")
	p.Cut()
	p.closed(server)
	if _, err := client.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v, want the end, by a reset since something was not read", err)
	}
}

func TestProxyHalfOpen(t *testing.T) {
	p := newProxyTest(t)
	for _, side := range []Side{ClientSide, ServerSide} {
		gone, left := p.connect()
		if side == ServerSide {
			gone, left = left, gone
		}
		p.HalfOpen(side)
		p.exchange(left, gone)
		p.send(gone, "into the void")
		p.silent(left)
		gone.Close()
		p.silent(left)
		p.send(left, "nobody listens")
		p.silent(left)
		p.send(left, "nor now")
		p.connect() // the next one is whole
		p.silent(left)
		left.Close() // the proxy lets go of it: goleak
	}
}

func TestProxyHalfOpenBothSides(t *testing.T) {
	p := newProxyTest(t)
	client, server := p.connect()
	p.HalfOpen(ClientSide)
	p.HalfOpen(ServerSide)
	p.send(client, "up")
	p.send(server, "down")
	p.silent(server)
	p.silent(client)
	p.Cut()
	p.closed(client)
	p.closed(server)
}

func TestProxyReset(t *testing.T) {
	p := newProxyTest(t)
	client, server := p.connect()
	p.Reset()
	for _, conn := range []net.Conn{client, server} {
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want a reset", err)
		}
	}
	p.connect()
}

func TestProxyRate(t *testing.T) {
	const size, perSecond = 64 << 10, 256 << 10
	p := newProxyTest(t)
	p.Rate(perSecond, 0)
	client, server := p.connect()
	for _, from := range []net.Conn{client, server} {
		to := client
		if from == client {
			to = server
		}
		begun := time.Now()
		sent := make(chan error, 1)
		go func() {
			_, err := from.Write(make([]byte, size))
			sent <- err
		}()
		if _, err := io.ReadFull(to, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		// A tenth of a second may go at once. How long it takes depends on the machine; how short, on the rate only.
		if least := time.Second * (size - perSecond/10) / perSecond; from == client && time.Since(begun) < least {
			t.Errorf("took %v, the rate allows %v", time.Since(begun), least)
		}
	}
}

func TestProxyRateChanges(t *testing.T) {
	p := newProxyTest(t)
	client, server := p.connect()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	const size = 1 << 20
	received := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.Discard, server, size)
		received <- err
	}()
	p.Rate(10, 10) // a day
	if _, err := client.Write(make([]byte, size/2)); err != nil {
		t.Fatal(err)
	}
	p.Rate(100<<20, 0)
	if _, err := client.Write(make([]byte, size/2)); err != nil {
		t.Fatal(err)
	}
	p.Rate(0, 0)
	select {
	case err := <-received:
		if err != nil {
			t.Fatal(err)
		}
	case <-ctx.Done():
		t.Fatal("the old rate still holds")
	}
}
