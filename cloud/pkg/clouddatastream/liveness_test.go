// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/harness"
)

// startTunnels runs a server with one target up to the test's end, and returns its URL and how its node dials it.
func startTunnels(tb testing.TB, edit func(*v1alpha1.TunnelServer)) (url string, dialer websocket.Dialer) {
	tb.Helper()
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Stream.Authentication = v1alpha1.AuthenticationNone
	ca, err := harness.NewAuthority(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	cfg.Tunnel.CAFile = ca.CAFile()
	if cfg.Tunnel.CertFile, cfg.Tunnel.KeyFile, err = ca.Server(); err != nil {
		tb.Fatal(err)
	}
	edit(&cfg.Tunnel)
	certFile, keyFile, err := ca.Node("edge-1")
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		tb.Fatal(err)
	}
	pem, err := os.ReadFile(ca.CAFile())
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)

	tunnels, viewers := listen(tb), listen(tb)
	srv := clouddatastream.NewServer(cfg, func(assignment.Report) {})
	srv.Apply(assignment.NodeDirectory{Node: "edge-1", Entries: []assignment.Entry{{Namespace: "default", Rule: "r", Path: "/p"}}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, tunnels, viewers) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	key := tunnel.StreamKey{Node: "edge-1", Namespace: "default", Rule: "r", Path: "/p"}
	return "wss://" + tunnels.Addr().String() + key.URLPath(), websocket.Dialer{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		Subprotocols:    []string{tunnel.Subprotocol},
	}
}

// Of edges that come all at once some are told when to come again, and others are cut off before the handshake.
func TestTooManyEdges(t *testing.T) {
	t.Parallel()
	url, dialer := startTunnels(t, func(c *v1alpha1.TunnelServer) { c.HandshakesPerSecond, c.HandshakeBurst = 1, 1 })
	var (
		wg                         sync.WaitGroup
		admitted, refused, dropped atomic.Int32
	)
	for range 40 {
		wg.Go(func() {
			ws, resp, err := dialer.Dial(url, nil)
			var alert *net.OpError
			switch {
			case err == nil:
				ws.Close()
				admitted.Add(1)
			case errors.Is(err, websocket.ErrBadHandshake) && resp.StatusCode == http.StatusServiceUnavailable:
				if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || seconds < 4 || seconds > 60 {
					t.Errorf("Retry-After: %d, %v", seconds, err)
				}
				refused.Add(1)
			case errors.As(err, &alert) && alert.Op == "remote error":
				dropped.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if admitted.Load() == 0 || refused.Load() == 0 || dropped.Load() == 0 {
		t.Errorf("%d admitted, %d refused, %d dropped: want some of each", admitted.Load(), refused.Load(), dropped.Load())
	}
}

// What a thousand edges cost that come at once, in handshakes and seconds: go test -bench Stampede -benchtime 1x.
func BenchmarkStampede(b *testing.B) {
	url, dialer := startTunnels(b, func(*v1alpha1.TunnelServer) {})
	for b.Loop() {
		var wg sync.WaitGroup
		var tries atomic.Int64
		for range 1000 {
			wg.Go(func() {
				for end := 2 * time.Second; ; end = min(2*end, 30*time.Second) {
					tries.Add(1)
					ws, resp, err := dialer.Dial(url, nil)
					if err == nil {
						ws.Close()
						return
					}
					pause := time.Second + rand.N(end-time.Second)
					if resp != nil {
						seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
						pause = max(pause, time.Duration(seconds)*time.Second+rand.N(time.Second))
					}
					time.Sleep(pause)
				}
			})
		}
		wg.Wait()
		b.ReportMetric(float64(tries.Load()), "dials")
	}
}
