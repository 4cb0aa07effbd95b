// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/kubeedge/datastream/cloud/pkg/certificates"
)

// tunnels is a TunnelServer, as far as a node can tell, that sends every tunnel away and remembers its path and certificate.
type tunnels struct {
	server *http.Server
	done   chan struct{}

	mu     sync.Mutex
	dialed map[string]*x509.Certificate // by path
}

// listenForTunnels takes cloudcore's place, with its certificate, while it is away.
func listenForTunnels(t *testing.T) *tunnels {
	t.Helper()
	certificate, key := env.secretPair(t, certificates.ServerSecret, certificates.ServerCertKey, certificates.ServerKeyKey).PEM()
	pair, err := tls.X509KeyPair(certificate, key)
	must(t, err)
	l, err := tls.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(env.Ports.Tunnel)), &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert,
	})
	must(t, err)
	listener := &tunnels{done: make(chan struct{}), dialed: make(map[string]*x509.Certificate)}
	listener.server = &http.Server{Handler: http.HandlerFunc(listener.handle)}
	go func() {
		defer close(listener.done)
		_ = listener.server.Serve(l)
	}()
	t.Cleanup(listener.stop)
	return listener
}

func (l *tunnels) handle(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.dialed[r.URL.Path] = r.TLS.PeerCertificates[0]
	l.mu.Unlock()
	w.WriteHeader(http.StatusServiceUnavailable)
}

// await returns how long it took until that path was dialled, and the certificate that the node showed.
func (l *tunnels) await(t *testing.T, path string) (time.Duration, *x509.Certificate) {
	t.Helper()
	var shown *x509.Certificate
	took := eventually(t, "the tunnel "+path, func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if shown = l.dialed[path]; shown == nil {
			return fmt.Errorf("dialled was %v", slices.Collect(maps.Keys(l.dialed)))
		}
		return nil
	})
	return took, shown
}

func (l *tunnels) stop() {
	if err := l.server.Close(); !errors.Is(err, http.ErrServerClosed) {
		<-l.done
	}
}
