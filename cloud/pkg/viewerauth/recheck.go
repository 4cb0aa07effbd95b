// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

// outageLimit is how long viewers stay though the API server cannot be asked about them. Nobody can revoke a right there
// either while it is down; but who keeps it from us must not keep viewers in.
const outageLimit = 5 * time.Minute

var errRevoked = errors.New("the right was revoked")

// watched serves a viewer, and asks again and again whether it may still watch. If not, its connection is closed, whatever the handler
// does with it.
func (g *Guard) watched(w http.ResponseWriter, r *http.Request, a *Access, want right, next http.Handler) {
	ctx, cancel := context.WithCancel(r.Context())
	rw := &revocable{ResponseWriter: w}
	var checker sync.WaitGroup
	defer checker.Wait()
	defer cancel()
	checker.Go(func() {
		if err := g.recheck(ctx, a, want); err != nil {
			klog.InfoS("Viewer closed", "user", a.user.Username, "remote", r.RemoteAddr, "stream", a.Stream, "reason", err.Error())
			cancel()
			rw.revoke()
		}
	})
	next.ServeHTTP(rw, r.WithContext(ctx))
}

// recheck returns why the viewer may not watch any more, or nil when ctx ends.
func (g *Guard) recheck(ctx context.Context, a *Access, want right) error {
	lastYes := time.Now()
	timer := time.NewTimer(g.recheckDelay())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		yes, err := g.still(ctx, a, want)
		switch now := time.Now(); {
		case err == nil && !yes:
			return errRevoked
		case err == nil:
			lastYes = now
		case ctx.Err() != nil:
			return nil
		case now.Sub(lastYes) >= outageLimit:
			return fmt.Errorf("unknown for %v whether it may: %w", outageLimit, err)
		default:
			g.outages.Do(func() { klog.ErrorS(err, "The API server cannot be asked about viewers") })
		}
		timer.Reset(g.recheckDelay())
	}
}

// still says whether the credential is good and its user has the right.
func (g *Guard) still(ctx context.Context, a *Access, want right) (bool, error) {
	u, err := a.credential.user(ctx)
	if errors.Is(err, errUnauthenticated) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return g.reviews.still(ctx, u, want)
}

// recheckDelay differs from time to time, so that viewers who came together do not ask together for ever.
func (g *Guard) recheckDelay() time.Duration {
	half := g.cfg.RecheckInterval / 2
	return half + rand.N(half+1)
}

// revocable is a ResponseWriter that can be taken away from its handler, also after it has taken the connection over.
type revocable struct {
	http.ResponseWriter

	mu      sync.Mutex
	conn    net.Conn // once it is taken over
	revoked bool
}

// Hijack implements http.Hijacker.
func (w *revocable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.mu.Lock()
	w.conn = conn
	revoked := w.revoked
	w.mu.Unlock()
	if revoked {
		conn.Close()
		return nil, nil, errRevoked
	}
	return conn, buffered, nil
}

// Flush implements http.Flusher.
func (w *revocable) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap serves http.ResponseController.
func (w *revocable) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// revoke ends what is being written, and all that would be.
func (w *revocable) revoke() {
	w.mu.Lock()
	w.revoked = true
	conn := w.conn
	w.mu.Unlock()
	if conn != nil {
		conn.Close()
		return
	}
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Unix(1, 0))
}
