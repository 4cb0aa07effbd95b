// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/cloud/pkg/certificates"
)

// tunnels is a TunnelServer, as far as a node can tell, that sends every tunnel away and remembers its path.
type tunnels struct {
	server *http.Server
	done   chan struct{}

	mu    sync.Mutex
	paths map[string]bool
}

// listenForTunnels takes cloudcore's place, with its certificate, while it is away.
func listenForTunnels(t *testing.T) *tunnels {
	t.Helper()
	secret, err := env.kube.CoreV1().Secrets(certificates.Namespace).Get(patient(t), certificates.ServerSecret, metav1.GetOptions{})
	must(t, err)
	certificate, err := tls.X509KeyPair(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secret.Data[certificates.ServerCertKey]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret.Data[certificates.ServerKeyKey]}))
	must(t, err)
	l, err := tls.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(env.Ports.Tunnel)), &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate},
	})
	must(t, err)
	listener := &tunnels{done: make(chan struct{}), paths: make(map[string]bool)}
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
	l.paths[r.URL.Path] = true
	l.mu.Unlock()
	w.WriteHeader(http.StatusServiceUnavailable)
}

// has fails until that path was dialled.
func (l *tunnels) has(path string) func(context.Context) error {
	return func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.paths[path] {
			return fmt.Errorf("dialled was %v", l.paths)
		}
		return nil
	}
}

func (l *tunnels) stop() {
	if err := l.server.Close(); !errors.Is(err, http.ErrServerClosed) {
		<-l.done
	}
}
