// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/tests/pki"
)

// TLS handshakes that do not come to an end, and requests in them, keep nobody else out; browsers are told to come by TLS only.
func TestSlowHandshakes(t *testing.T) {
	ca, err := pki.NewAuthority("viewers")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(pki.Server("viewers"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Stream.Authentication, cfg.Limits.Connections = v1alpha1.AuthenticationNone, 64
	cfg.Stream.CertFile, cfg.Stream.KeyFile = filepath.Join(t.TempDir(), "crt"), filepath.Join(t.TempDir(), "key")
	if err := pair.Write(cfg.Stream.CertFile, cfg.Stream.KeyFile); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	s := newStreamServer(cfg, newMetrics(reg), reg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	defer serving.Wait()
	defer cancel()
	tlsConfig := &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}
	for i := range 60 {
		var conn net.Conn
		if i%2 == 0 {
			conn, err = net.Dial("tcp", l.Addr().String())
		} else { // of whom the server has heard half a request
			conn, err = tls.Dial("tcp", l.Addr().String(), tlsConfig)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nX-"[:1+i%2*15])
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig, DisableKeepAlives: true}}
	resp, err := client.Get("https://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%s, %v", resp.Status, resp.Header)
	}
	if conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: ca.Pool(), NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}); err == nil {
		_ = conn.Close()
		t.Error("HTTP/2, which has many requests in a connection, is served too")
	}
	if all, waiting := s.limits.listener.Load().Open(); all > 64 || waiting > 16 {
		t.Errorf("%d connections are open, %d of them wait", all, waiting)
	}
}
