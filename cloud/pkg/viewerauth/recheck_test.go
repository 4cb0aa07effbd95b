// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// hijackable is a ResponseWriter whose connection can be taken over.
type hijackable struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// session is a viewer whose handler has taken the connection over, and forgets the request's context.
type session struct {
	began  time.Time
	viewer net.Conn // its end
	done   chan struct{}
}

// watchFor begins a session; run it in a synctest bubble.
func watchFor(t *testing.T, g *Guard, url string, fields ...string) session {
	t.Helper()
	server, viewer := net.Pipe()
	s := session{time.Now(), viewer, make(chan struct{})}
	taken := make(chan struct{})
	h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		close(taken)
		_, _ = conn.Read(make([]byte, 1))
		conn.Close()
	}))
	go func() {
		defer close(s.done)
		r := httptest.NewRequest(http.MethodGet, url, nil)
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			r.Header.Set(name, value)
		}
		h.ServeHTTP(hijackable{httptest.NewRecorder(), server}, r)
	}()
	<-taken
	return s
}

// wait returns how long the session lasts from now on.
func (s session) wait() time.Duration {
	<-s.done
	return time.Since(s.began)
}

func TestRevoked(t *testing.T) {
	for _, c := range []struct {
		name   string
		revoke func(*api)
		ticket bool
	}{
		{"right", func(a *api) { clear(a.rights) }, false},
		{"token", func(a *api) { clear(a.users) }, false},
		{"right of a ticket's user", func(a *api) { clear(a.rights) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPI("eve get stream yard/gate")
				g, h := newGuard(t, a)
				url, field := camera, bearer("eve")
				if c.ticket {
					url, field = getTicket(t, h, "", field), "X-Any: x"
				}
				s := watchFor(t, g, url, field)
				time.Sleep(10 * time.Minute) // past the ticket's life
				select {
				case <-s.done:
					t.Fatal("closed without a reason")
				default:
				}
				a.change(func() { c.revoke(a) })
				began := time.Now()
				s.wait()
				if took := time.Since(began); took > 45*time.Second {
					t.Errorf("closed after %v", took)
				}
			})
		})
	}
}

func TestOutageOfViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI("eve get stream yard/gate")
		g, _ := newGuard(t, a)
		s := watchFor(t, g, camera, bearer("eve"))
		a.change(func() { a.down = true })
		time.Sleep(outageLimit - time.Minute)
		a.change(func() { a.down = false })
		time.Sleep(time.Hour)
		select {
		case <-s.done:
			t.Fatal("a short outage closed a viewer")
		default:
		}
		a.change(func() { a.down = true })
		began := time.Now()
		s.wait()
		if took := time.Since(began); took < outageLimit-time.Minute || took > outageLimit+time.Minute {
			t.Errorf("a long outage closed a viewer after %v", took)
		}
	})
}

// A viewer that leaves ends what watches over it.
func TestLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGuard(t, newAPI("eve get stream yard/gate"))
		s := watchFor(t, g, camera, bearer("eve"))
		s.viewer.Close()
		if took := s.wait(); took != 0 {
			t.Errorf("it takes %v to leave", took)
		}
	})
}

// However many come at once, each question is asked once, and nobody waits for the one before.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI("eve get stream yard/gate")
		g, _ := newGuard(t, a)
		var crowd []session
		for range 100 {
			crowd = append(crowd, watchFor(t, g, camera, bearer("eve")))
		}
		time.Sleep(5 * time.Minute)
		// At most one of each in the time that an answer is remembered.
		if tokens, rights := a.count("tokenreviews"), a.count("subjectaccessreviews"); tokens > 31 || rights > 31 {
			t.Errorf("%d and %d reviews", tokens, rights)
		}
		for _, s := range crowd {
			s.viewer.Close()
			s.wait()
		}
	})
}

// A handler that has not taken the connection over is told by its context.
func TestRevokedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI("eve get stream yard/gate")
		g, err := New(Config{Reviewer: a.reviewer(), TicketLifetime: time.Minute, RecheckInterval: 30 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		h := g.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			a.change(func() { clear(a.rights) })
			<-r.Context().Done()
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, camera, nil)
		r.Header.Set("Authorization", "Bearer token-eve")
		h.ServeHTTP(httptest.NewRecorder(), r)
		if ctx.Err() != nil {
			t.Error("the handler was not told")
		}
	})
}
