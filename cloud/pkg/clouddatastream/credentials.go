// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

// Credentials are what the TunnelServer shows to edges, and the CA by which it knows them.
type Credentials interface {
	// Load returns what is valid now: the certificates of the CA, at least one, and the server's. It is called for each
	// handshake and must not wait for a network.
	Load() (clientCA []*x509.Certificate, server tls.Certificate, err error)
}

// fileCredentials reads PEM files.
type fileCredentials struct {
	caFile string
	server *keyPair
}

func newFileCredentials(cfg v1alpha1.TunnelServer) fileCredentials {
	return fileCredentials{caFile: cfg.CAFile, server: newKeyPair(cfg.CertFile, cfg.KeyFile)}
}

func (f fileCredentials) Load() ([]*x509.Certificate, tls.Certificate, error) {
	ca, err := readAuthorities(f.caFile)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("reading the CA of edges: %w", err)
	}
	cert, err := f.server.load(time.Now())
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("reading the server's certificate: %w", err)
	}
	return ca, *cert, nil
}

func readAuthorities(file string) ([]*x509.Certificate, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w", file, err)
		}
		all = append(all, ca)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return all, nil
}
