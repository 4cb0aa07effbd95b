// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/kubeedge/datastream/tests/pki"
)

// crowd is many connections of an attacker that are held open.
type crowd struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *crowd) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
}

func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

// gather has n connections made, 50 at a time, and keeps those that are.
func gather(n int, dial func() (net.Conn, error)) *crowd {
	c := new(crowd)
	var all sync.WaitGroup
	room := make(chan struct{}, 50)
	for range n {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			if conn, err := dial(); err == nil {
				c.add(conn)
			}
		})
	}
	all.Wait()
	return c
}

// Connections that lead to nothing cost others nothing: frames go on, and a node that comes meanwhile gets its tunnel.
func TestIdleConnections(t *testing.T) {
	r := newRig(t, nil)
	e := newEvil(r)
	const late = "late-2"
	r.assign(late, "late")
	lateCert := r.issue(pki.Node(late))
	before := heap()
	holds := func(t *testing.T) {
		t.Helper()
		r.honest.intact(t)
		// From the same machine as everybody else who means no harm.
		eventually(t, "the other node's tunnel", func() bool {
			ws, _, err := r.dialTunnel(nil, keyOf(late, "late"), lateCert)
			if err == nil {
				ws.Close()
			}
			return err == nil
		})
		if after := heap(); after > before+256<<20 {
			t.Errorf("%d MiB are held, before it were %d", after>>20, before>>20)
		}
	}
	clientHello := recordClientHello(t)
	for name, attack := range map[string]struct{ words, drip []byte }{
		"half open":                      {},
		"half a ClientHello":             {words: clientHello[:len(clientHello)/2]},
		"a ClientHello of 16 MiB":        {[]byte{22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, make([]byte, 1000)},
		"a ClientHello, byte by byte":    {clientHello[:6], []byte{0}},
		"a ClientHello and nothing else": {words: clientHello},
		"no TLS":                         {[]byte("GET / HTTP/1.1\r\n"), []byte("X: y\r\n")},
	} {
		r.attack(name, func(t *testing.T) {
			few := 250
			if attack.words == nil {
				few = 1000
			}
			n := files(t, count(few, 10_000))
			const thrownOut = `datastream_cloud_refused_tunnels_total{reason="connection"}`
			closed := r.metric(t, thrownOut)
			s := besiege(t, siegeOrders{Address: r.tunnels, From: attacker.IP, Count: n, Words: attack.words, Drip: attack.drip})
			defer s.lift()
			holds(t)
			t.Logf("%d connections are held, of which the cloud has closed %v to make room", n, r.metric(t, thrownOut)-closed)
		})
	}
	r.attack("headers, slowly", func(t *testing.T) {
		c := gather(count(50, 500), func() (net.Conn, error) {
			conn, err := connect(t.Context(), r.tunnels)
			if err != nil {
				return nil, err
			}
			c := tls.Client(conn, r.tlsConfig(e.cert))
			_, _ = c.Write([]byte("GET /v1/kubeedge/datastream/x/y/z/a HTTP/1.1\r\n"))
			return c, nil
		})
		defer c.leave()
		for range 3 {
			for _, conn := range c.conns {
				_ = conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
				_, _ = conn.Write([]byte("X: y\r\n"))
			}
		}
		holds(t)
	})
}

// recordClientHello is the first that a TLS client says.
func recordClientHello(t *testing.T) []byte {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(client, &tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS12}).HandshakeContext(context.Background())
	}()
	head := make([]byte, 5)
	_, err := io.ReadFull(server, head)
	must(t, err)
	body := make([]byte, int(head[3])<<8|int(head[4]))
	_, err = io.ReadFull(server, body)
	must(t, err)
	client.Close()
	server.Close()
	<-done
	return append(head, body...)
}

// Headers without end are cut off, and cost no more than they may have.
func TestHeaderFloods(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	e := newEvil(r)
	before := heap()
	r.attack("headers", func(t *testing.T) {
		var all sync.WaitGroup
		line := []byte("X-Header: 0123456789abcdef0123456789abcdef0123456789abcdef\r\n")
		for range count(20, 200) {
			conn := e.raw(t)
			all.Go(func() {
				_, _ = conn.Write([]byte("GET /v1/kubeedge/datastream/x/y/z/a HTTP/1.1\r\nHost: cloud\r\n"))
				writeUntilRefused(t, conn, line)
			})
		}
		all.Wait()
	})
	r.attack("a body without end", func(t *testing.T) {
		conn := e.raw(t)
		_, err := conn.Write([]byte("POST /v1/kubeedge/datastream/" + evilNode + "/revision HTTP/1.1\r\nHost: cloud\r\nContent-Length: 1000000000\r\n\r\n{\"revision\":\""))
		must(t, err)
		writeUntilRefused(t, conn, make([]byte, 1024))
	})
	eventually(t, "the attack's memory to be given back", func() bool { return heap() <= before+64<<20 })
}

// writeUntilRefused writes words again and again until the other end closes. However much may be under way, it does not go on for ever.
func writeUntilRefused(t *testing.T, conn net.Conn, words []byte) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	for {
		if _, err := conn.Write(words); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the cloud neither takes it nor closes, or takes it without end")
			return
		} else if err != nil {
			return
		}
	}
}
