// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

func newTestDialer(dial NetDial) *webSocketDialer {
	return &webSocketDialer{
		server: "wss://cloud:10006", timing: tunnel.DefaultTiming, connect: tunnelDial(dial, unsentBytes),
		tls:  func() (*tls.Config, error) { return &tls.Config{MinVersion: tls.VersionTLS12}, nil },
		pace: rate.NewLimiter(dialsPerSecond, dialBurst),
	}
}

var testKey = tunnel.StreamKey{Node: testNode, Namespace: "default", Rule: "demo", Path: "/camera-001"}

// Whatever does not answer, a dial ends in time.
func TestDialEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		dial       NetDial
		limit      time.Duration
		unanswered bool
	}{
		"nobody answers": {func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
		}, connectTimeout, true},
		"no way": {func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
		}, 0, true},
		"TLS handshake is not answered": {func(context.Context, string, string) (net.Conn, error) {
			edge, cloud := net.Pipe()
			go func() {
				_, _ = io.Copy(io.Discard, cloud)
				cloud.Close()
			}()
			return edge, nil
		}, handshakeTimeout, false},
		"nobody reads": {func(context.Context, string, string) (net.Conn, error) {
			edge, _ := net.Pipe()
			return edge, nil
		}, handshakeTimeout, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := newTestDialer(tc.dial).dial(t.Context(), testKey)
				if took := time.Since(began); took != tc.limit && (tc.limit != connectTimeout || took != patientTimeout) {
					t.Errorf("ended after %v, want %v", took, tc.limit)
				}
				if err == nil || errors.Is(err, errUnanswered) != tc.unanswered {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

// A thousand targets of one node are not dialled in the same instant.
func TestDialsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		began := time.Now()
		var now, all atomic.Int32
		d := newTestDialer(func(context.Context, string, string) (net.Conn, error) {
			all.Add(1)
			if time.Since(began) == 0 {
				now.Add(1)
			}
			return nil, refused
		})
		const targets = 1024
		errs := make(chan error, targets)
		for range targets {
			go func() {
				_, err := d.dial(t.Context(), testKey)
				errs <- err
			}()
		}
		for range targets {
			if err := <-errs; !errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errUnanswered) {
				t.Fatal(err)
			}
		}
		took := time.Since(began)
		if want := (targets - dialBurst) * time.Second / dialsPerSecond; now.Load() != dialBurst || took < want || took > want+time.Second {
			t.Errorf("%d at once, all after %v, want %d and %v", now.Load(), took, dialBurst, want)
		}
	})
}

// Tunnels and reports go by the way out that the host gives.
func TestNetDial(t *testing.T) {
	c, cfg := newCloud(t)
	var dials atomic.Int32
	address := c.Listener.Addr().String()
	cfg.Server = "wss://127.0.0.1:1" // nobody is there
	a := NewAgent(cfg, DefaultSources(), NewMetrics(prometheus.NewRegistry()), WithNetDial(
		func(ctx context.Context, network, asked string) (net.Conn, error) {
			if asked != "127.0.0.1:1" {
				return nil, fmt.Errorf("asked for %s", asked)
			}
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() {
		cancel()
		if err := receive(t, done); err != nil {
			t.Error(err)
		}
	}()
	receive(t, c.revisions)
	apply(t, a, target("rtsp://127.0.0.1/unused"))
	l := c.accept(t)
	if dials.Load() < 2 {
		t.Errorf("%d dials", dials.Load())
	}
	l.conn.Close(tunnel.CloseNormal, "")
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"-5":                            0,
		"soon":                          0,
		"7":                             7 * time.Second,
		"9999999999999":                 maxRetryAfter,
		"Thu, 01 Jan 2026 00:00:09 GMT": 9 * time.Second,
		"Wed, 31 Dec 2025 00:00:00 GMT": 0,
		"Fri, 02 Jan 2026 00:00:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
	for range 100 {
		none := refusal(&http.Response{Header: http.Header{}})
		told := refusal(&http.Response{Header: http.Header{"Retry-After": {"7"}}})
		if none.retryAfter != 0 || told.retryAfter < 7*time.Second || told.retryAfter >= 8*time.Second {
			t.Fatalf("%v, %v", none.retryAfter, told.retryAfter)
		}
	}
}

func TestBackoff(t *testing.T) {
	for range 100 {
		b := backoff{min: time.Second, max: 30 * time.Second}
		for _, end := range []int{2, 4, 8, 16, 30, 30, 30} {
			if d := b.after(io.EOF); d < time.Second || d >= time.Duration(end)*time.Second {
				t.Fatalf("%v, want 1s to %ds", d, end)
			}
			// Who is not answered waits no longer for it, and what was refused before is not forgotten.
			if d := b.after(fmt.Errorf("dialling: %w", errUnanswered)); d < time.Second/4 || d >= time.Second {
				t.Fatalf("%v behind no answer", d)
			}
		}
		if d := b.after(fmt.Errorf("reporting: %w", &refusedError{retryAfter: time.Minute})); d != time.Minute {
			t.Fatalf("%v, want the minute that was asked for", d)
		}
		b.reset()
		if d := b.after(&refusedError{}); d < time.Second || d >= 2*time.Second {
			t.Fatalf("%v after a success", d)
		}
		fixed := backoff{min: time.Second, max: time.Second}
		if one, two := fixed.after(io.EOF), fixed.after(errUnanswered); one != time.Second || two > time.Second {
			t.Fatal(one, two)
		}
	}
}
