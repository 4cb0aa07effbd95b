// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What is issued is trusted by whoever trusts the authority, for its own purpose only, and is found in its files.
func TestIssue(t *testing.T) {
	ca, err := NewAuthority("test")
	must(t, err)
	other, err := NewAuthority("test")
	must(t, err)
	for name, tc := range map[string]struct {
		template         *x509.Certificate
		purpose, another x509.ExtKeyUsage
	}{
		"server": {Server("cloudcore", "other.name"), x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		"node":   {Node("edge-1"), x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := ca.Issue(tc.template)
			must(t, err)
			dir := t.TempDir()
			certFile, keyFile := filepath.Join(dir, "crt"), filepath.Join(dir, "key")
			must(t, pair.Write(certFile, keyFile))
			loaded, err := tls.LoadX509KeyPair(certFile, keyFile)
			must(t, err)
			if !bytes.Equal(loaded.Certificate[0], pair.Certificate) {
				t.Error("the file holds another certificate")
			}
			cert, err := x509.ParseCertificate(pair.Certificate)
			must(t, err)
			verify := func(a *Authority, purpose x509.ExtKeyUsage) error {
				_, err := cert.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{purpose}})
				return err
			}
			must(t, verify(ca, tc.purpose))
			if verify(ca, tc.another) == nil || verify(other, tc.purpose) == nil {
				t.Error("it is trusted by another authority or for another purpose")
			}
		})
	}
}

func TestServerNames(t *testing.T) {
	ca, err := NewAuthority("test")
	must(t, err)
	pair, err := ca.Issue(Server("cloudcore", "other.name"))
	must(t, err)
	cert, err := x509.ParseCertificate(pair.Certificate)
	must(t, err)
	for _, host := range []string{"127.0.0.1", "localhost", "other.name"} {
		must(t, cert.VerifyHostname(host))
	}
}

func TestParseAuthority(t *testing.T) {
	ca, err := NewAuthority("test")
	must(t, err)
	pair, err := ca.Issue(Node("edge-1"))
	must(t, err)
	for name, bad := range map[string]Pair{
		"no certificate": {Key: pair.Key},
		"no key":         {Certificate: pair.Certificate},
	} {
		if _, err := ParseAuthority(bad); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}
