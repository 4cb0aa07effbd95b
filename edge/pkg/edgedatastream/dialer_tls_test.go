// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/pki"
)

// The edge talks to nobody but a server of its CA with the name that it dials, over TLS 1.2 or later; not a request reaches
// anybody else.
func TestServerIsVerified(t *testing.T) {
	ca, err := pki.NewAuthority("ca")
	other, errOther := pki.NewAuthority("ca") // of the same name
	if err := errors.Join(err, errOther); err != nil {
		t.Fatal(err)
	}
	server := func(change func(*x509.Certificate)) *x509.Certificate {
		c := pki.Server("cloud")
		change(c)
		return c
	}
	for name, test := range map[string]struct {
		ca     *pki.Authority
		server *x509.Certificate
		most   uint16 // version of TLS; 0: any
		plain  bool
		want   string // in the error; empty: the server is taken
	}{
		"good":               {ca: ca, server: pki.Server("cloud")},
		"wrong name":         {ca: ca, server: server(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"} }), want: "cannot validate certificate for 127.0.0.1"},
		"wrong address":      {ca: ca, server: server(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 9)} }), want: "not 127.0.0.1"},
		"only a common name": {ca: ca, server: server(func(c *x509.Certificate) { c.Subject.CommonName, c.IPAddresses, c.DNSNames = "127.0.0.1", nil, nil }), want: "legacy Common Name"},
		"other CA":           {ca: other, server: pki.Server("cloud"), want: "certificate signed by unknown authority"},
		"expired":            {ca: ca, server: server(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), want: "expired"},
		"not yet valid": {ca: ca, server: server(func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(time.Hour)
			c.NotAfter = c.NotBefore.Add(time.Hour)
		}), want: "not yet valid"},
		"usage of a client": {ca: ca, server: server(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), want: "incompatible key usage"},
		"a node":            {ca: ca, server: pki.Node(testNode), want: "cannot validate certificate"},
		"TLS 1.1":           {ca: ca, server: pki.Server("cloud"), most: tls.VersionTLS11, want: "protocol version"},
		"TLS 1.2":           {ca: ca, server: pki.Server("cloud"), most: tls.VersionTLS12},
		"no TLS, but TCP":   {ca: ca, server: pki.Server("cloud"), plain: true, want: "does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				http.Redirect(w, &http.Request{}, "https://elsewhere.example/", http.StatusTemporaryRedirect)
			}))
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			if test.plain {
				s.Start()
			} else {
				pair, err := test.ca.Issue(test.server)
				if err != nil {
					t.Fatal(err)
				}
				cert, err := tls.X509KeyPair(pair.PEM())
				if err != nil {
					t.Fatal(err)
				}
				s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: test.most}
				s.StartTLS()
			}
			defer s.Close()

			cfg := nodeFiles(t, ca)
			cfg.Server = "wss://" + s.Listener.Addr().String()
			credentials := func() (*tls.Config, error) { return tlsConfig(cfg) }
			connect := tunnelDial(new(net.Dialer).DialContext, 0)
			dialer := &webSocketDialer{
				server: cfg.Server, tls: credentials, timing: tunnel.DefaultTiming, connect: connect, pace: rate.NewLimiter(dialsPerSecond, dialBurst),
			}
			reporter := &reporter{config: cfg, connect: connect, tls: credentials, revision: func() string { return "1" }, again: newSignal()}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, errDial := dialer.dial(ctx, testKey)
			for what, err := range map[string]error{"tunnel": errDial, "report": reporter.post(ctx, "1")} {
				var refused *refusedError
				switch {
				case test.want == "" && (!errors.As(err, &refused) || refused.status != http.StatusTemporaryRedirect):
					t.Errorf("%s: %v, want the server's answer, which is not followed", what, err)
				case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
					t.Errorf("%s: %v, want %q", what, err, test.want)
				}
			}
			if wanted := test.want == ""; (asked.Load() > 0) != wanted {
				t.Errorf("the server was asked %d times", asked.Load())
			}
		})
	}
}

// nodeFiles are a node's files, of this CA.
func nodeFiles(t *testing.T, ca *pki.Authority) *v1alpha1.EdgeDataStream {
	t.Helper()
	dir := t.TempDir()
	cfg := v1alpha1.NewDefaultEdgeDataStream()
	cfg.NodeName = testNode
	cfg.CAFile, cfg.CertFile, cfg.KeyFile = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")
	pair, err := ca.Issue(pki.Node(testNode))
	if err := errors.Join(err, pair.Write(cfg.CertFile, cfg.KeyFile), os.WriteFile(cfg.CAFile, ca.PEM(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return cfg
}
