// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/pkg/media"
)

// timing is what tests with a fake clock use; its times are the real ones.
var timing = DefaultTiming

// watchedPipe returns a watched end of a pipe, which has no buffer, and the bare other end.
func watchedPipe(t *testing.T) (w *watched, peer net.Conn) {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	w = Watch(a).(*watched)
	w.begin(timing)
	return w, b
}

func TestWatchReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, peer := watchedPipe(t)
		const pieces = 20
		go func() {
			for range pieces { // each just in time
				time.Sleep(timing.ReadTimeout - time.Millisecond)
				_, _ = peer.Write([]byte{1})
			}
		}()
		buf := make([]byte, 10)
		for range pieces {
			if n, err := w.Read(buf); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		began := time.Now()
		if _, err := w.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != timing.ReadTimeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A write goes on for as long as the peer takes something, and ends soon after it takes nothing.
func TestWatchWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, peer := watchedPipe(t)
		const pieces = 20
		stopped := make(chan time.Time, 1)
		go func() {
			for range pieces {
				time.Sleep(timing.WriteTimeout - timing.WriteTimeout/writeLooks)
				_, _ = io.ReadFull(peer, make([]byte, 1))
			}
			stopped <- time.Now()
		}()
		n, err := w.Write(make([]byte, 1000))
		if n != pieces || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d, %v", n, err)
		}
		if took := time.Since(<-stopped); took < timing.WriteTimeout || took > timing.WriteTimeout*5/4 {
			t.Errorf("found after %v", took)
		}
		began := time.Now()
		if _, err := w.Write([]byte{1}); err == nil || time.Since(began) != 0 {
			t.Errorf("a write behind it: %v after %v", err, time.Since(began))
		}
	})
}

func TestWatchKeepsToDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := watchedPipe(t)
		began := time.Now()
		_ = w.SetWriteDeadline(began.Add(time.Second))
		if _, err := w.Write([]byte{1}); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// Before the tunnel begins, deadlines are what they are set to: the handshake's.
func TestWatchBeforeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		w := Watch(a)
		began := time.Now()
		_ = w.SetDeadline(began.Add(time.Minute))
		go func() { _, _ = b.Write([]byte{1}) }()
		if _, err := w.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("read: %v after %v", err, time.Since(began))
		}
		if _, err := w.Write(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
		}
	})
}

// path joins two pipes. It takes a while for each byte, and can be cut so that neither end hears of it.
type path struct {
	edge, cloud net.Conn // the ends
	perKiB      time.Duration
	cut         chan struct{}
	wg          sync.WaitGroup
}

func newPath(perKiB time.Duration) *path {
	edge, edgeInner := net.Pipe()
	cloud, cloudInner := net.Pipe()
	p := &path{edge: edge, cloud: cloud, perKiB: perKiB, cut: make(chan struct{})}
	p.wg.Go(func() { p.carry(edgeInner, cloudInner) })
	p.wg.Go(func() { p.carry(cloudInner, edgeInner) })
	return p
}

func (p *path) carry(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 1<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		time.Sleep(p.perKiB * time.Duration(n) / 1024)
		select {
		case <-p.cut: // take nothing and say nothing, up to the end
			for {
				if _, err := from.Read(nil); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		default:
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// certificates returns TLS configurations for a client and its server. They come from httptest, outside the bubble of a test.
func certificates() (client, server *tls.Config) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12},
		&tls.Config{Certificates: srv.TLS.Certificates, MinVersion: tls.VersionTLS12}
}

// handshake makes a tunnel of the path's ends.
func (p *path) handshake(t *testing.T, client, server *tls.Config, onPing func()) (edge, cloud *Conn) {
	t.Helper()
	accepted := make(chan *websocket.Conn, 1)
	go func() {
		conn := tls.Server(Watch(p.cloud), server)
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Error(err)
			return
		}
		w := &hijacked{conn: conn, r: r, header: http.Header{}}
		ws, err := (&websocket.Upgrader{WriteBufferSize: 4 << 10}).Upgrade(w, req, nil)
		if err != nil {
			t.Error(err)
		}
		accepted <- ws
	}()
	d := websocket.Dialer{
		NetDial:         func(string, string) (net.Conn, error) { return Watch(p.edge), nil },
		TLSClientConfig: client,
		WriteBufferSize: WriteBufferSize,
	}
	ws, resp, err := d.Dial("wss://cloud/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	edge = NewConn(ws, timing, testMaxPayload)
	other := <-accepted
	cloud = NewConn(other, timing, testMaxPayload)
	ping := other.PingHandler()
	other.SetPingHandler(func(data string) error { onPing(); return ping(data) })
	return edge, cloud
}

type hijacked struct {
	conn   net.Conn
	r      *bufio.Reader
	header http.Header
}

func (h *hijacked) Header() http.Header         { return h.header }
func (h *hijacked) Write(p []byte) (int, error) { return h.conn.Write(p) }
func (h *hijacked) WriteHeader(int)             {}
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(h.r, bufio.NewWriter(h.conn)), nil
}

// serve runs one end until it ends, as both modules do, and says when that was.
func serve(ctx context.Context, c *Conn, units <-chan *media.AccessUnit, got func(*media.AccessUnit)) <-chan time.Time {
	ended := make(chan time.Time, 1)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		for {
			_, u, err := c.Read()
			if err != nil {
				return
			}
			got(u)
		}
	})
	wg.Go(func() {
		defer cancel()
		_ = c.KeepAlive(ctx)
	})
	wg.Go(func() {
		defer cancel()
		for {
			select {
			case <-ctx.Done():
				return
			case u := <-units:
				if c.WriteUnit(u) != nil {
					return
				}
			}
		}
	})
	wg.Go(func() {
		<-ctx.Done()
		_ = c.Close(CloseGoingAway, "")
	})
	go func() {
		wg.Wait()
		ended <- time.Now()
	}()
	return ended
}

// A path that goes silent is found by both ends within 15 s, idle and in the middle of a large unit.
func TestHalfOpen(t *testing.T) {
	client, server := certificates()
	for name, busy := range map[string]bool{"idle": false, "in the middle of a unit": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPath(20 * time.Millisecond)
				edge, cloud := p.handshake(t, client, server, func() {})
				units := make(chan *media.AccessUnit, 1)
				ends := map[string]<-chan time.Time{
					"edge":  serve(t.Context(), edge, units, func(*media.AccessUnit) {}),
					"cloud": serve(t.Context(), cloud, nil, func(*media.AccessUnit) { t.Error("the unit came through") }),
				}
				time.Sleep(time.Minute)
				if busy {
					u := exampleUnit()
					u.Payload = make([]byte, testMaxPayload)
					units <- u
					time.Sleep(2 * time.Second)
				}
				close(p.cut)
				cut := time.Now()
				for name, end := range ends {
					took := (<-end).Sub(cut)
					t.Logf("%s found it after %v", name, took)
					if took > 15*time.Second {
						t.Error("too late")
					}
				}
				p.wg.Wait()
			})
		})
	}
}

// A unit that takes minutes arrives, though each of its TLS records takes longer than a ReadTimeout, and pings get through
// beside it.
func TestSlowLink(t *testing.T) {
	client, server := certificates()
	synctest.Test(t, func(t *testing.T) {
		p := newPath(time.Second) // 8 kbit/s: 17 min for a unit, 16 s for a fragment
		pings := 0
		edge, cloud := p.handshake(t, client, server, func() { pings++ })
		units, got := make(chan *media.AccessUnit, 1), make(chan *media.AccessUnit, 1)
		ctx, cancel := context.WithCancel(t.Context())
		edgeEnd := serve(ctx, edge, units, func(*media.AccessUnit) {})
		cloudEnd := serve(ctx, cloud, nil, func(u *media.AccessUnit) { got <- u })
		u := exampleUnit()
		u.Payload = bytes.Repeat([]byte{7}, testMaxPayload)
		units <- u
		select {
		case u := <-got:
			if len(u.Payload) != testMaxPayload {
				t.Errorf("%d bytes", len(u.Payload))
			}
		case <-edgeEnd:
			t.Error("the edge gave up")
		case <-cloudEnd:
			t.Error("the cloud gave up")
		}
		if pings < 10 {
			t.Errorf("%d pings between 64 fragments", pings)
		}
		cancel()
		p.wg.Wait()
	})
}

// A peer that talks but never reads is found, though nothing is to be sent but pings.
func TestPeerNeverReads(t *testing.T) {
	timing := Timing{PingInterval: time.Millisecond, ReadTimeout: time.Minute, WriteTimeout: time.Minute, AnswerTimeout: 20 * time.Millisecond}
	_, ws := dialRaw(t)
	if err := NewConn(ws, timing, testMaxPayload).KeepAlive(t.Context()); !errors.Is(err, errUnanswered) {
		t.Errorf("got %v", err)
	}
}

// The reader answers nothing itself: it must not wait for the writer.
func TestPingsAreAnsweredOnce(t *testing.T) {
	client, server := certificates()
	synctest.Test(t, func(t *testing.T) {
		p := newPath(time.Millisecond)
		edge, cloud := p.handshake(t, client, server, func() {})
		pongs := make(chan string, 10)
		edge.ws.SetPongHandler(func(data string) error { pongs <- data; return nil })
		var wg sync.WaitGroup
		wg.Go(func() { _, _, _ = edge.Read() })
		wg.Go(func() { _, _, _ = cloud.Read() })
		for _, data := range []string{"a", "b", "c"} {
			if err := edge.ws.WriteControl(websocket.PingMessage, []byte(data), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() { _ = cloud.KeepAlive(ctx) })
		if data := <-pongs; data != "c" {
			t.Errorf("answered %q, want the newest", data)
		}
		cancel()
		_ = edge.Close(CloseNormal, "")
		_ = cloud.Close(CloseNormal, "")
		wg.Wait()
		p.wg.Wait()
		if len(pongs) != 0 {
			t.Error("answered more than once")
		}
	})
}

// Where no kernel tells, the round-trip time is that of pings.
func TestRTTOfPings(t *testing.T) {
	client, server := certificates()
	synctest.Test(t, func(t *testing.T) {
		p := newPath(20 * time.Millisecond)
		edge, cloud := p.handshake(t, client, server, func() {})
		if _, _, ok := edge.RTT(); ok {
			t.Error("a round-trip time before the first ping")
		}
		ctx, cancel := context.WithCancel(t.Context())
		none := func(*media.AccessUnit) {}
		ends := []<-chan time.Time{serve(ctx, edge, nil, none), serve(ctx, cloud, nil, none)}
		time.Sleep(time.Minute)
		rtt, least, ok := edge.RTT()
		if !ok || rtt <= 0 || rtt > time.Second || least != rtt {
			t.Errorf("round-trip time %v, least %v, %v", rtt, least, ok)
		}
		cancel()
		for _, end := range ends {
			<-end
		}
		p.wg.Wait()
	})
}
