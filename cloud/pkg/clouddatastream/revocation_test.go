// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/kubeedge/datastream/tests/pki"
)

// authorities are Credentials without a server.
type authorities []*x509.Certificate

func (a authorities) Load() ([]*x509.Certificate, tls.Certificate, error) {
	if len(a) == 0 {
		return nil, tls.Certificate{}, errors.New("no CA yet")
	}
	return a, tls.Certificate{}, nil
}

// revoking is a CA with certificates and the file that says which of them are revoked.
type revoking struct {
	*testing.T
	ca   *pki.Authority
	file string
	list *revocations
}

func newRevoking(t *testing.T) *revoking {
	t.Helper()
	ca, err := pki.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	r := &revoking{T: t, ca: ca, file: filepath.Join(t.TempDir(), "crl")}
	r.list = newRevocations(r.file, authorities{r.parse(decodePEM(ca.PEM()))})
	return r
}

func decodePEM(b []byte) []byte {
	block, _ := pem.Decode(b)
	return block.Bytes
}

func (r *revoking) parse(der []byte) *x509.Certificate {
	r.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

func (r *revoking) issue(name string) pki.Pair {
	r.Helper()
	pair, err := r.ca.Issue(pki.Node(name))
	if err != nil {
		r.Fatal(err)
	}
	return pair
}

func revoke(t *testing.T, ca *pki.Authority, pairs ...pki.Pair) []byte {
	t.Helper()
	der, err := ca.Revoke(pairs...)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (r *revoking) write(content []byte) {
	r.Helper()
	if err := os.WriteFile(r.file, content, 0o600); err != nil {
		r.Fatal(err)
	}
	r.list.reload(time.Now())
}

func (r *revoking) want(p pki.Pair, revoked bool) {
	r.Helper()
	err := r.list.check([][]*x509.Certificate{{r.parse(p.Certificate), r.parse(decodePEM(r.ca.PEM()))}})
	var refused *refusal
	if (err != nil) != revoked || err != nil && (!errors.As(err, &refused) || refused.reason != refusedRevoked) {
		r.Errorf("%v, revoked is to be %t", err, revoked)
	}
}

func inPEM(ders ...[]byte) (out []byte) {
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	return out
}

func TestRevocations(t *testing.T) {
	r := newRevoking(t)
	good, bad := r.issue("edge-1"), r.issue("edge-2")
	other, err := pki.NewAuthority("ca") // of the same name
	if err != nil {
		t.Fatal(err)
	}

	r.list.reload(time.Now())
	r.want(good, true) // nobody is let in before there is a list
	r.write([]byte("no list"))
	r.want(good, true)
	r.write(revoke(t, other))
	r.want(good, true)

	r.write(revoke(t, r.ca))
	r.want(good, false)
	r.want(bad, false)
	r.write(revoke(t, r.ca, bad))
	r.want(good, false)
	r.want(bad, true)
	r.write(inPEM(revoke(t, r.ca), revoke(t, r.ca, good)))
	r.want(good, true)
	r.want(bad, false)

	// What is bad changes nothing.
	r.write(inPEM(revoke(t, r.ca, bad)))
	for what, content := range map[string][]byte{
		"empty": {}, "no list": []byte("no list"), "signed by another": revoke(t, other), "one of two signed by another": inPEM(revoke(t, r.ca), revoke(t, other)),
		"cut": revoke(t, r.ca)[:100], "a certificate": r.ca.PEM(), "changed": flip(revoke(t, r.ca)),
	} {
		r.write(content)
		if r.list.problem == "" {
			t.Errorf("%s: nothing is said about it", what)
		}
		r.want(good, false)
		r.want(bad, true)
	}
	if err := os.Remove(r.file); err != nil {
		t.Fatal(err)
	}
	r.list.reload(time.Now())
	r.want(bad, true)

	// And so does one that has run out, except that it is said.
	r.write(revoke(t, r.ca, bad))
	r.list.reload(time.Now().AddDate(1, 0, 0))
	if r.list.problem == "" {
		t.Error("nothing is said about a list that has run out")
	}
	r.want(good, false)
	r.want(bad, true)
}

// flip changes one bit of what is signed.
func flip(der []byte) []byte {
	der = slices.Clone(der)
	der[40] ^= 1
	return der
}

// A list may be read before the CA is known, which CloudHub makes at its first start.
func TestRevocationsWaitForTheCA(t *testing.T) {
	r := newRevoking(t)
	ca := r.list.credentials
	r.list.credentials = authorities{}
	pair := r.issue("edge-1")
	r.write(revoke(t, r.ca))
	r.want(pair, true)
	r.list.credentials = ca
	r.list.reload(time.Now())
	r.want(pair, false)
}

// Without a file nothing is revoked.
func TestNoRevocations(t *testing.T) {
	r := newRevoking(t)
	r.list = newRevocations("", nil)
	r.list.reload(time.Now())
	r.want(r.issue("edge-1"), false)
}

// The list that the commands of docs/security.md make, with a CA whose key usages are those of KubeEdge's.
func TestRevocationsOfOpenSSL(t *testing.T) {
	ca, err := readAuthorities("testdata/openssl-ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile("testdata/openssl-nodes.crl")
	if err != nil {
		t.Fatal(err)
	}
	list, err := parseRevocations(content, ca)
	if err != nil {
		t.Fatal(err)
	}
	if _, revoked := list.serials[revokedSerial{string(ca[0].RawSubject), "\x05\x5a\xa0\x10\x20\x30\x40\x50\x60"}]; !revoked || len(list.serials) != 1 {
		t.Errorf("revoked are %q", list.serials)
	}
}

// A delta names what was revoked since a complete list. Taken for one, it would let in whom that has revoked.
func TestDeltaOfRevocations(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err == nil {
		ca, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	base, err := asn1.Marshal(1)
	if err != nil {
		t.Fatal(err)
	}
	list := &x509.RevocationList{Number: big.NewInt(2), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, delta := range []bool{false, true} {
		if delta {
			list.ExtraExtensions = []pkix.Extension{{Id: deltaIndicatorOID, Critical: true, Value: base}}
		}
		content, err := x509.CreateRevocationList(rand.Reader, list, ca, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseRevocations(content, []*x509.Certificate{ca}); (err != nil) != delta {
			t.Errorf("delta %t: %v", delta, err)
		}
	}
}
