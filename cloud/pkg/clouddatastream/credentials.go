// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

// Credentials are what the TunnelServer shows to edges, and the CA by which it knows them.
type Credentials interface {
	// Load returns what is valid now. It is called for each handshake and must not wait for a network.
	Load() (clientCA *x509.CertPool, server tls.Certificate, err error)
}

// fileCredentials reads PEM files.
type fileCredentials struct {
	cfg v1alpha1.TunnelServer
}

func (f fileCredentials) Load() (*x509.CertPool, tls.Certificate, error) {
	pem, err := os.ReadFile(f.cfg.CAFile)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("reading the CA of edges: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, tls.Certificate{}, fmt.Errorf("reading the CA of edges: no certificate in %s", f.cfg.CAFile)
	}
	cert, err := tls.LoadX509KeyPair(f.cfg.CertFile, f.cfg.KeyFile)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("reading the server's certificate: %w", err)
	}
	return pool, cert, nil
}
