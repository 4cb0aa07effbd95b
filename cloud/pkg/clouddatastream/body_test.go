// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/tests/poll"
)

// watchedConn remembers until when its reads may last.
type watchedConn struct {
	net.Conn

	mu        sync.Mutex
	deadlines []time.Time
}

func (c *watchedConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadlines = append(c.deadlines, t)
	return c.Conn.SetReadDeadline(t)
}

func (c *watchedConn) SetDeadline(t time.Time) error {
	_ = c.SetWriteDeadline(t)
	return c.SetReadDeadline(t)
}

func (c *watchedConn) all() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]time.Time(nil), c.deadlines...)
}

func (c *watchedConn) last() time.Time {
	all := c.all()
	return all[len(all)-1]
}

type watchedListener struct {
	net.Listener
	accepted chan *watchedConn
}

func (l watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &watchedConn{Conn: c}
	l.accepted <- w
	return w, nil
}

func watchListener(t *testing.T) watchedListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return watchedListener{l, make(chan *watchedConn, 1)}
}

// send opens a connection and says words on it. Both ends are returned.
func (l watchedListener) send(t *testing.T, words string) (net.Conn, *watchedConn) {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	if _, err := io.WriteString(conn, words); err != nil {
		t.Fatal(err)
	}
	return conn, <-l.accepted
}

// serveBodies serves h behind boundBody. For all else it has hours.
func serveBodies(t *testing.T, within time.Duration, h http.HandlerFunc) watchedListener {
	t.Helper()
	l := watchListener(t)
	srv := &http.Server{ReadTimeout: 2 * time.Hour, Handler: boundBody(within, h), ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() {
		_ = srv.Close()
		serving.Wait()
	})
	return l
}

const (
	postWhole = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"
	postHalf  = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbo"
	postChunk = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n"
)

// Who sends half a body is answered when its time is over, and loses the connection, also if nobody wanted the body.
func TestHalfABody(t *testing.T) {
	read := func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); !isTimeout(err) {
			t.Errorf("reading half a body: %v", err)
		}
		w.WriteHeader(http.StatusBadRequest)
	}
	refuse := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }
	hangUp := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		refuse(w, r)
	}
	for name, c := range map[string]struct {
		words string
		h     http.HandlerFunc
		want  int
	}{
		"half":                     {postHalf, read, http.StatusBadRequest},
		"chunks without their end": {postChunk, read, http.StatusBadRequest},
		"nobody wants it":          {postHalf, refuse, http.StatusForbidden},
		"nobody wants the next":    {postHalf, hangUp, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			conn, _ := serveBodies(t, time.Millisecond, c.h).send(t, c.words)
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.want {
				t.Errorf("%s, want %d", resp.Status, c.want)
			}
			if _, err := io.Copy(io.Discard, in); isTimeout(err) { // it may be a reset
				t.Error("the connection is kept")
			}
		})
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Behind its body a request has no deadline of it, as one without a body, and neither has whoever takes the connection over.
func TestBehindABody(t *testing.T) {
	for name, words := range map[string]string{
		"a body":                   postWhole,
		"chunks":                   postChunk + "0\r\n\r\n",
		"none":                     "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"half, and it is not read": postHalf,
	} {
		t.Run(name, func(t *testing.T) {
			var l watchedListener
			l = serveBodies(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
				server := <-l.accepted
				if words != postHalf {
					if body, err := io.ReadAll(r.Body); err != nil || r.ContentLength != 0 && string(body) != "body" {
						t.Errorf("%q, %v", body, err)
					}
					if d := server.last(); !d.IsZero() {
						t.Errorf("a caller who says nothing more is taken for gone at %v", d)
					}
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				if d := server.last(); !d.IsZero() {
					t.Errorf("whoever takes the connection over may read until %v", d)
				}
			})
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
			if _, err := io.WriteString(conn, words); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); isTimeout(err) { // until the handler closes it
				t.Error(err)
			}
		})
	}
}

// The viewers' port gives a body requestTimeout, however long viewers may wait.
func TestBodyOfViewers(t *testing.T) {
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Stream.Authentication, cfg.Stream.WaitTimeout.Duration = v1alpha1.AuthenticationNone, 2*time.Hour
	reg := prometheus.NewRegistry()
	s := newStreamServer(cfg, newMetrics(reg), reg)
	l := watchListener(t)
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	defer serving.Wait()
	defer cancel()
	conn, server := l.send(t, "POST /node/edge-1/r/p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
	defer conn.Close()
	poll.Until(t, 2*time.Minute, "a deadline of the body's own", func() bool {
		headersRead := false // when the http.Server sets the deadline of the whole request, or lifts that of the headers
		for _, d := range server.all() {
			switch {
			case d.IsZero() || time.Until(d) > requestTimeout:
				headersRead = true
			case headersRead:
				return true
			}
		}
		return false
	})
}
