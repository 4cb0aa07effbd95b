// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pki makes certificates as KubeEdge does, for tests and for clusters on one machine.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// validity of certificates: what they are for lives for an afternoon.
const validity = 30 * 24 * time.Hour

// Pair is a certificate with its key, both DER, the key as in RFC 5915: the form in which CloudHub keeps its own.
type Pair struct{ Certificate, Key []byte }

// PEM returns both as files have them.
func (p Pair) PEM() (certificate, key []byte) {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: p.Key})
}

// Write writes both in place, the certificate first, as edgecore rotates its own. Only their owner may read them.
func (p Pair) Write(certFile, keyFile string) error {
	certificate, key := p.PEM()
	if err := os.WriteFile(certFile, certificate, 0o600); err != nil {
		return fmt.Errorf("writing certificate: %w", err)
	}
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		return fmt.Errorf("writing key: %w", err)
	}
	return nil
}

// Authority signs certificates.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority of that name.
func NewAuthority(name string) (*Authority, error) {
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	self := &Authority{certificate: t}
	p, err := self.Issue(t)
	if err != nil {
		return nil, err
	}
	return ParseAuthority(p)
}

// ParseAuthority is an authority with a certificate and key that are there already.
func ParseAuthority(p Pair) (*Authority, error) {
	certificate, err := x509.ParseCertificate(p.Certificate)
	if err != nil {
		return nil, fmt.Errorf("parsing the CA's certificate: %w", err)
	}
	key, err := x509.ParseECPrivateKey(p.Key)
	if err != nil {
		return nil, fmt.Errorf("parsing the CA's key: %w", err)
	}
	return &Authority{certificate, key}, nil
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// Pool trusts the authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Issue signs a certificate for a new key. The template says what for; the serial number is filled in, and so is the validity
// where it has none.
func (a *Authority) Issue(t *x509.Certificate) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("making the key of %s: %w", t.Subject.CommonName, err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return Pair{}, fmt.Errorf("making a serial number: %w", err)
	}
	if t.NotAfter.IsZero() {
		t.NotBefore, t.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(validity)
	}
	t.KeyUsage |= x509.KeyUsageDigitalSignature
	signer := a.key
	if signer == nil { // it signs itself
		signer = key
	}
	var p Pair
	if p.Certificate, err = x509.CreateCertificate(rand.Reader, t, a.certificate, &key.PublicKey, signer); err != nil {
		return Pair{}, fmt.Errorf("signing the certificate of %s: %w", t.Subject.CommonName, err)
	}
	if p.Key, err = x509.MarshalECPrivateKey(key); err != nil {
		return Pair{}, fmt.Errorf("encoding the key of %s: %w", t.Subject.CommonName, err)
	}
	return p, nil
}

// Revoke makes a revocation list, in DER, that names these certificates. It is good for as long as certificates are.
func (a *Authority) Revoke(pairs ...Pair) ([]byte, error) {
	list := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(validity)}
	for _, p := range pairs {
		c, err := x509.ParseCertificate(p.Certificate)
		if err != nil {
			return nil, fmt.Errorf("parsing the certificate to revoke: %w", err)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: list.ThisUpdate})
	}
	issuer := *a.certificate
	issuer.KeyUsage |= x509.KeyUsageCRLSign // crypto/x509 insists on it; KubeEdge's CA has it as little as this one
	der, err := x509.CreateRevocationList(rand.Reader, list, &issuer, a.key)
	if err != nil {
		return nil, fmt.Errorf("signing the revocation list: %w", err)
	}
	return der, nil
}

// Server is the template of a server on the loopback, which may have more names.
func Server(name string, dnsNames ...string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    append(dnsNames, "localhost"),
	}
}

// Client is the template of a client in a group.
func Client(name, group string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: []string{group}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// Node is the template of an edge node.
func Node(name string) *x509.Certificate { return Client("system:node:"+name, "system:nodes") }
