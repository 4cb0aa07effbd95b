// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kubeedge/datastream/tests/pki"
)

// Authority is a certificate authority like CloudHub's, with its files in a folder.
type Authority struct {
	dir string
	ca  *pki.Authority
}

// NewAuthority makes a CA whose certificate is in dir/ca.crt.
func NewAuthority(dir string) (*Authority, error) {
	ca, err := pki.NewAuthority("datastream test CA")
	if err != nil {
		return nil, err
	}
	a := &Authority{dir, ca}
	if err := os.WriteFile(a.CAFile(), ca.PEM(), 0o600); err != nil {
		return nil, fmt.Errorf("writing the CA's certificate: %w", err)
	}
	return a, nil
}

// CAFile is the path of the CA's certificate.
func (a *Authority) CAFile() string { return filepath.Join(a.dir, "ca.crt") }

// Server issues a certificate for 127.0.0.1 and localhost, and returns its files.
func (a *Authority) Server() (certFile, keyFile string, err error) {
	return a.issue("server", pki.Server("datastream"))
}

// Node issues a node's certificate as KubeEdge does, and returns its files.
func (a *Authority) Node(node string) (certFile, keyFile string, err error) {
	return a.issue("node-"+node, pki.Node(node))
}

func (a *Authority) issue(name string, template *x509.Certificate) (certFile, keyFile string, err error) {
	pair, err := a.ca.Issue(template)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	return certFile, keyFile, pair.Write(certFile, keyFile)
}
