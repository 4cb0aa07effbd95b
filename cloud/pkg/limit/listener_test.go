// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package limit

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// most are the connections of a house.
const most = 80

// house is an http.Server behind a Listener. It answers "ok", and takes connections over on /take.
type house struct {
	*testing.T
	listener *Listener
	refused  atomic.Int64
}

func newHouse(t *testing.T) *house {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t}
	h.listener = NewListener(l, most, func() { h.refused.Add(1) })
	h.listener.Quiet = true
	var taken sync.WaitGroup
	srv := &http.Server{ConnState: h.listener.ConnState, ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/take" {
			_, _ = io.WriteString(w, "ok")
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		taken.Add(1)
		defer taken.Done()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		_, _ = io.Copy(io.Discard, bufio.NewReader(struct{ io.Reader }{conn}))
		conn.Close()
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(h.listener)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
		taken.Wait()
	})
	return h
}

// dial connects from an address of the loopback.
func (h *house) dial(from string) net.Conn {
	h.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(h.Context(), "tcp", h.listener.Addr().String())
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// get asks over c and returns whether it was answered.
func (h *house) get(c net.Conn, path string) bool {
	_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if path == "/take" {
		return true
	}
	body, _ := io.ReadAll(resp.Body)
	return string(body) == "ok"
}

func (h *house) closed(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	var timeout net.Error
	return err != nil && (!errors.As(err, &timeout) || !timeout.Timeout())
}

// wait returns when the listener has that many connections, of which that many wait.
func (h *house) wait(all, waiting int) {
	h.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if a, w := h.listener.Open(); a == all && w == waiting {
			return
		} else if time.Now().After(deadline) {
			h.Fatalf("%d connections, of which %d wait, want %d, %d", a, w, all, waiting)
		}
	}
}

// Those who connect and say nothing push out each other, the oldest first, and nobody else.
func TestHalfOpen(t *testing.T) {
	h := newHouse(t) // of which 20 may wait, 10 of one source
	other := h.dial("127.0.0.9")
	var idle []net.Conn
	for range 30 {
		idle = append(idle, h.dial("127.0.0.2"))
	}
	for i, c := range idle[:20] {
		if !h.closed(c) {
			t.Fatalf("connection %d is still open", i)
		}
	}
	h.wait(11, 11)
	if n := h.refused.Load(); n != 20 {
		t.Errorf("%d are counted", n)
	}
	for _, from := range []string{"127.0.0.2", "127.0.0.3"} {
		if !h.get(h.dial(from), "/") {
			t.Errorf("%s is not served", from)
		}
	}
	if !h.get(other, "/") {
		t.Error("who came before them is not served")
	}
	if !h.get(idle[29], "/") {
		t.Error("the youngest is not served")
	}
}

// With ever so many sources who say nothing, the oldest of all goes.
func TestHalfOpenFromEverywhere(t *testing.T) {
	h := newHouse(t)
	for i := range 100 {
		h.dial(net.IPv4(127, 0, 1, byte(i)).String())
	}
	h.wait(20, 20)
	if !h.get(h.dial("127.0.0.2"), "/") {
		t.Error("not served")
	}
}

// A source may have half of all connections, and the other half is there for others.
func TestTakenOver(t *testing.T) {
	h := newHouse(t)
	served := 0
	for range 60 {
		if h.get(h.dial("127.0.0.2"), "/take") {
			served++
		}
	}
	if served != 40 {
		t.Errorf("%d connections of one source, want 40", served)
	}
	for i := range 20 {
		if !h.get(h.dial("127.0.0.3"), "/take") {
			t.Fatalf("connection %d of another is refused", i)
		}
	}
	h.wait(60, 0)
}

// Connections that are kept alive between requests give way too.
func TestKeptAlive(t *testing.T) {
	h := newHouse(t)
	for range 30 {
		if c := h.dial("127.0.0.2"); !h.get(c, "/") {
			t.Fatal("not served")
		}
	}
	h.wait(10, 10)
}

// Who has taken a connection over and talks without end is closed; who says little is not.
func TestQuiet(t *testing.T) {
	h := newHouse(t)
	loud, soft := h.dial("127.0.0.2"), h.dial("127.0.0.2")
	if !h.get(loud, "/take") || !h.get(soft, "/take") {
		t.Fatal("not served")
	}
	if _, err := soft.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		if _, err := loud.Write(make([]byte, 1<<16)); err != nil {
			break
		}
	}
	h.wait(1, 0)
	_ = soft.SetReadDeadline(time.Now())
	if _, err := soft.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
