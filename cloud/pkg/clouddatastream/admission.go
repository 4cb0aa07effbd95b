// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// maxWait is how long a handshake may wait for its turn: less than the 10 s that edges give a dial, so that those
	// who wait are still there.
	maxWait = 4 * time.Second
	// maxPromise bounds the time for which an edge is sent away.
	maxPromise = time.Minute
)

// errOverloaded fails a handshake. The edge sees a TLS alert, and comes again after its backoff.
var errOverloaded = errors.New("too many edges come at once")

// admission spreads the handshakes of edges that come all at once, as they do when cloudcore was away. The cost of
// an edge is its TLS handshake, with two signatures and a chain to verify, so it is decided behind the
// ClientHello, which costs next to nothing:
//
//   - so many as the rate and the burst allow go on at once;
//   - so many as will have their turn within maxWait wait for it: nobody has to come twice;
//   - of the others, a few more are shaken hands with only to be told in an HTTP answer when to come again;
//   - what is left fails before any cryptography.
type admission struct {
	metrics  *metrics
	interval time.Duration // between two turns
	turns    *rate.Limiter
	refusals *rate.Limiter

	mu       sync.Mutex
	promised time.Time // the last turn that somebody was sent away until
}

func newAdmission(perSecond, burst int, m *metrics) *admission {
	r := rate.Limit(perSecond)
	return &admission{
		metrics: m, interval: time.Second / time.Duration(perSecond),
		turns: rate.NewLimiter(r, burst), refusals: rate.NewLimiter(r/2, max(perSecond/2, 1)),
	}
}

// decide says how long a handshake that comes now waits for its turn. If retryAfter is not 0 it has none, and the
// edge is to be told that.
func (a *admission) decide(now time.Time) (wait, retryAfter time.Duration, err error) {
	turn := a.turns.ReserveN(now, 1)
	if wait := turn.DelayFrom(now); wait <= maxWait {
		return wait, 0, nil
	}
	turn.CancelAt(now)
	if !a.refusals.AllowN(now, 1) {
		return 0, 0, errOverloaded
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if first := now.Add(maxWait); a.promised.Before(first) {
		a.promised = first
	}
	a.promised = a.promised.Add(a.interval)
	if a.promised.After(now.Add(maxPromise)) {
		// Edges that will not come in order any more come at any time of it.
		return 0, maxWait + rand.N(maxPromise-maxWait), nil
	}
	return 0, a.promised.Sub(now), nil
}

// ticket is what was decided of a connection.
type ticket struct{ retryAfter time.Duration }

type ticketKey struct{}

// withTicket gives a connection its ticket. It is an http.Server.ConnContext.
func withTicket(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, ticketKey{}, new(ticket))
}

// enter returns when it is the handshake's turn. Its context is the connection's.
func (a *admission) enter(hello *tls.ClientHelloInfo) error {
	ctx := hello.Context()
	wait, retryAfter, err := a.decide(time.Now())
	switch {
	case err != nil:
		a.metrics.handshakes.WithLabelValues("dropped").Inc()
		return err
	case retryAfter > 0:
		a.metrics.handshakes.WithLabelValues("refused").Inc()
		if t, ok := ctx.Value(ticketKey{}).(*ticket); ok {
			t.retryAfter = retryAfter
		}
		return nil
	case wait > 0:
		a.metrics.handshakes.WithLabelValues("delayed").Inc()
	default:
		a.metrics.handshakes.WithLabelValues("admitted").Inc()
		return nil
	}
	turn := time.NewTimer(wait)
	defer turn.Stop()
	select {
	case <-turn.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// guard answers those that were sent away, and hands the others to h.
func (a *admission) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, ok := r.Context().Value(ticketKey{}).(*ticket)
		if !ok || t.retryAfter == 0 {
			h.ServeHTTP(w, r)
			return
		}
		seconds := (t.retryAfter + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
		writeStatus(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, errOverloaded.Error())
	})
}
