// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/tests/pki"
)

// pipeListener accepts pipes: what they do takes no time in a bubble of synctest, where sockets would hold the clock.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answer is what a viewer got for a question of its own connection.
type answer struct {
	code       int // 0: the handshake failed
	retryAfter int
	kept       bool // the connection
	took       time.Duration
}

func (l *pipeListener) ask(t *testing.T, cfg *tls.Config) (a answer) {
	began := time.Now()
	transport := &http.Transport{TLSClientConfig: cfg, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return l.dial(ctx) }}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("https://127.0.0.1/healthz")
	a.took = time.Since(began)
	if err != nil {
		return a
	}
	defer resp.Body.Close()
	a.code, a.kept = resp.StatusCode, !resp.Close
	a.retryAfter, _ = strconv.Atoi(resp.Header.Get("Retry-After"))
	if a.code != http.StatusOK {
		var status metav1.Status
		if err := json.NewDecoder(resp.Body).Decode(&status); err != nil || int(status.Code) != a.code || int(status.Details.RetryAfterSeconds) != a.retryAfter {
			t.Errorf("%+v is said with %+v, %v", a, status, err)
		}
		if resp.Header.Get("Strict-Transport-Security") == "" {
			t.Error("a refusal lacks the headers of all answers")
		}
	}
	return a
}

// Of viewers who begin handshakes all at once some have them at once, some wait, some are told when to come again, and the others cost nothing.
func TestHandshakesOfViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, err := pki.NewAuthority("viewers")
		if err != nil {
			t.Fatal(err)
		}
		pair, err := ca.Issue(pki.Server("viewers"))
		if err != nil {
			t.Fatal(err)
		}
		cfg := v1alpha1.NewDefaultCloudDataStream()
		cfg.Stream.Authentication = v1alpha1.AuthenticationNone
		cfg.Stream.CertFile, cfg.Stream.KeyFile = filepath.Join(t.TempDir(), "crt"), filepath.Join(t.TempDir(), "key")
		if err := pair.Write(cfg.Stream.CertFile, cfg.Stream.KeyFile); err != nil {
			t.Fatal(err)
		}
		reg := prometheus.NewRegistry()
		s := newStreamServer(cfg, newMetrics(reg), reg)
		// The rate of one a second allows one at once and four that wait, of which one source has not more than it leaves.
		s.admission = newAdmission(1, 1, s.admission.metrics)
		l := newPipeListener()
		ctx, cancel := context.WithCancel(t.Context())
		var serving, viewers sync.WaitGroup
		serving.Go(func() {
			if err := s.Serve(ctx, l); err != nil {
				t.Error(err)
			}
		})
		defer time.Sleep(10 * time.Second) // in the bubble: both ends of a pipe may say goodbye at once, which nobody hears, and give up in 5 s
		defer serving.Wait()
		defer cancel()

		tlsConfig := &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}
		var mu sync.Mutex
		waits := make(map[time.Duration]int) // of those who were served
		codes := make(map[int]int)
		for range 10 {
			viewers.Go(func() {
				a := l.ask(t, tlsConfig)
				mu.Lock()
				defer mu.Unlock()
				codes[a.code]++
				switch a.code {
				case http.StatusOK:
					waits[a.took]++
				case http.StatusServiceUnavailable:
					if a.retryAfter != 5 || a.kept { // the turn behind all that others may have
						t.Errorf("refused with %+v", a)
					}
				}
			})
		}
		viewers.Wait()
		if codes[http.StatusOK] != 3 || codes[http.StatusServiceUnavailable] != 1 || codes[0] != 6 {
			t.Errorf("the answers are %v", codes)
		}
		for _, want := range []time.Duration{0, time.Second, 2 * time.Second} {
			if waits[want] != 1 {
				t.Errorf("those who are served waited %v", waits)
			}
		}
		for outcome, want := range map[string]float64{handshakeAdmitted: 1, handshakeDelayed: 2, handshakeRefused: 1, handshakeDropped: 6} {
			if got := testutil.ToFloat64(s.admission.metrics.outcomes.WithLabelValues(outcome)); got != want {
				t.Errorf("%v are counted as %s, want %v", got, outcome, want)
			}
		}
		if waiting := testutil.ToFloat64(s.admission.metrics.waiting); waiting != 0 {
			t.Errorf("%v wait", waiting)
		}
		time.Sleep(5 * time.Second) // in the bubble
		if a := l.ask(t, tlsConfig); a.code != http.StatusOK || a.took != 0 || !a.kept {
			t.Errorf("who comes again is answered with %+v", a)
		}
	})
}
