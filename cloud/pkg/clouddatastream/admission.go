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
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/cloud/pkg/limit"
)

const (
	// maxWait is how long a handshake may wait for its turn: less than the 10 s that edges give a dial and servers a handshake, so that
	// those who wait are still there.
	maxWait = 4 * time.Second
	// maxPromise bounds the time for which somebody is sent away.
	maxPromise = time.Minute
)

// viewerHandshakesPerCore is how many TLS handshakes of viewers there may be a second for each processor: they take a third of its time with a
// key of RSA 2048, and a tenth with one of P-256.
const viewerHandshakesPerCore = 250

// errOverloaded fails a handshake. The other end sees a TLS alert; an edge comes again after its backoff.
var errOverloaded = errors.New("too many connect at once")

// admission spreads the handshakes of those who come all at once, as edges do when cloudcore was away, and viewers when the wall that they
// watch is loaded again. What they cost is the TLS handshake, of an edge with two signatures and a chain to verify, so it is decided behind
// the ClientHello, which costs next to nothing:
//
//   - so many as the rate and the burst allow go on at once;
//   - so many as will have their turn within maxWait wait for it: nobody has to come twice;
//   - of the others, a few more are shaken hands with only to be told in an HTTP answer when to come again;
//   - what is left fails before any cryptography.
//
// No source has more of the turns and refusals than all leave free: a host that floods the port leaves half of them to others, and who shares
// an address with many, as a site's edges and a proxy's viewers do, loses nothing but the half of the places in the queue that others might want.
type admission struct {
	metrics  handshakeMetrics
	interval time.Duration // between two turns
	burst    time.Duration // the turns at once, in time
	turns    *limit.Turns[limit.Source]
	refusals *limit.Turns[limit.Source]

	mu       sync.Mutex
	promised time.Time // the last turn that somebody was sent away until
}

// newViewerAdmission is that of the viewers' port, which has no settings: it grows with the machine. A thousand viewers behind one address, who come
// at once to two cores, all have a turn.
func newViewerAdmission(cores int, m handshakeMetrics) *admission {
	perSecond := cores * viewerHandshakesPerCore
	return newAdmission(perSecond, perSecond, m)
}

func newAdmission(perSecond, burst int, m handshakeMetrics) *admission {
	interval := time.Second / time.Duration(perSecond)
	return &admission{
		metrics: m, interval: interval, burst: interval * time.Duration(burst),
		turns:    limit.NewTurns[limit.Source](interval, burst+int(maxWait/interval)),
		refusals: limit.NewTurns[limit.Source](2*interval, max(perSecond/2, 1)),
	}
}

// decide says how long a handshake of source that comes now waits for its turn. If retryAfter is not 0 it has none, and who
// began it is to be told that.
func (a *admission) decide(source limit.Source, now time.Time) (wait, retryAfter time.Duration, err error) {
	if ahead, err := a.turns.Take(source, now); err == nil {
		return max(ahead-a.burst, 0), 0, nil
	}
	if _, err := a.refusals.Take(source, now); err != nil {
		return 0, 0, errOverloaded
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if first := now.Add(maxWait); a.promised.Before(first) {
		a.promised = first
	}
	a.promised = a.promised.Add(a.interval)
	if a.promised.After(now.Add(maxPromise)) {
		// Those who will not come in order any more come at any time of it.
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
	wait, retryAfter, err := a.decide(limit.SourceOf(hello.Conn.RemoteAddr().String()), time.Now())
	switch {
	case err != nil:
		a.metrics.outcomes.WithLabelValues(handshakeDropped).Inc()
		return err
	case retryAfter > 0:
		a.metrics.outcomes.WithLabelValues(handshakeRefused).Inc()
		if t, ok := ctx.Value(ticketKey{}).(*ticket); ok {
			t.retryAfter = retryAfter
		}
		return nil
	case wait > 0:
		a.metrics.outcomes.WithLabelValues(handshakeDelayed).Inc()
	default:
		a.metrics.outcomes.WithLabelValues(handshakeAdmitted).Inc()
		return nil
	}
	a.metrics.waiting.Inc()
	defer a.metrics.waiting.Dec()
	turn := time.NewTimer(wait)
	defer turn.Stop()
	select {
	case <-turn.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// guard answers those that were sent away, and hands the others to h. A connection with such an answer is of no further use: its ticket stays.
func (a *admission) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, ok := r.Context().Value(ticketKey{}).(*ticket)
		if !ok || t.retryAfter == 0 {
			h.ServeHTTP(w, r)
			return
		}
		seconds := int((t.retryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Connection", "close")
		writeRetryAfter(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, seconds, errOverloaded.Error(), metav1.StatusDetails{})
	})
}
