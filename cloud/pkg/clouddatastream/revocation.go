// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

// errNoRevocations is the refusal while it cannot be known what is revoked.
var errNoRevocations = &refusal{refusedRevoked, "the certificate revocation list of tlsTunnelCRLFile could not be read yet"}

// revocations are the certificates that the CA of nodes has taken back, as a file says (RFC 5280, 5).
//
// Before a first list that is good nobody is let in: who names a file wants it to count. From then on a file that
// is bad, or gone, or has run out, leaves what was read in force. What is revoked stays so, and a job that forgot to
// renew the list does not turn all cameras off.
type revocations struct {
	file        string
	credentials Credentials // whose CA has to have signed the lists
	list        atomic.Pointer[revocationList]

	// Only who reloads uses these.
	content []byte // what list was read from
	problem string // of the last try
}

type revocationList struct {
	serials    map[revokedSerial]struct{}
	nextUpdate time.Time // the earliest of all lists, zero if none says so
}

// revokedSerial names a certificate: serial numbers are unique for each issuer.
type revokedSerial struct{ issuer, serial string }

// newRevocations returns nil if there is no file: then nothing is revoked.
func newRevocations(file string, credentials Credentials) *revocations {
	if file == "" {
		return nil
	}
	return &revocations{file: file, credentials: credentials}
}

// check returns a *refusal if any certificate of these chains is revoked.
func (r *revocations) check(chains [][]*x509.Certificate) error {
	if r == nil {
		return nil
	}
	list := r.list.Load()
	if list == nil {
		return errNoRevocations
	}
	for _, chain := range chains {
		for _, c := range chain {
			if _, revoked := list.serials[revokedSerial{string(c.RawIssuer), string(c.SerialNumber.Bytes())}]; revoked {
				return &refusal{refusedRevoked, fmt.Sprintf("the certificate of %.128q with serial number %x is revoked", c.Subject.CommonName, c.SerialNumber)}
			}
		}
	}
	return nil
}

// reload takes the file as it is now. It says what is wrong with it once.
func (r *revocations) reload(now time.Time) {
	if r == nil {
		return
	}
	err := r.read()
	if list := r.list.Load(); err == nil && !list.nextUpdate.IsZero() && now.After(list.nextUpdate) {
		err = fmt.Errorf("a newer one was to be there at %s", list.nextUpdate.UTC().Format(time.RFC3339))
	}
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if problem != r.problem && err != nil {
		klog.ErrorS(err, "Certificate revocation list is not good; what was revoked before stays so", "file", r.file, "inForce", r.list.Load() != nil)
	}
	r.problem = problem
}

func (r *revocations) read() error {
	content, err := os.ReadFile(r.file)
	if err != nil {
		return err
	}
	if r.list.Load() != nil && bytes.Equal(content, r.content) {
		return nil
	}
	authorities, _, err := r.credentials.Load()
	if err != nil {
		return fmt.Errorf("finding the CA that signs it: %w", err)
	}
	list, err := parseRevocations(content, authorities)
	if err != nil {
		return fmt.Errorf("reading %s: %w", r.file, err)
	}
	r.content = content
	r.list.Store(list)
	klog.InfoS("Certificate revocation list", "file", r.file, "revoked", len(list.serials), "nextUpdate", list.nextUpdate)
	return nil
}

// parseRevocations reads one list in DER, or any number of them in PEM, each signed by one of the authorities.
func parseRevocations(content []byte, authorities []*x509.Certificate) (*revocationList, error) {
	lists := [][]byte{content}
	if block, rest := pem.Decode(content); block != nil {
		lists = nil
		for ; block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "X509 CRL" {
				lists = append(lists, block.Bytes)
			}
		}
	}
	if len(lists) == 0 {
		return nil, errors.New("no certificate revocation list in it")
	}
	out := &revocationList{serials: make(map[revokedSerial]struct{})}
	for _, der := range lists {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, fmt.Errorf("parsing a certificate revocation list: %w", err)
		}
		if !signedByOne(list, authorities) {
			return nil, fmt.Errorf("the list of %.128q is not signed by the CA of nodes", list.Issuer.String())
		}
		if isDelta(list) {
			return nil, errors.New("it is a delta list, which names only what has changed: take the complete one")
		}
		for _, e := range list.RevokedCertificateEntries {
			out.serials[revokedSerial{string(list.RawIssuer), string(e.SerialNumber.Bytes())}] = struct{}{}
		}
		if u := list.NextUpdate; !u.IsZero() && (out.nextUpdate.IsZero() || u.Before(out.nextUpdate)) {
			out.nextUpdate = u
		}
	}
	return out, nil
}

// deltaIndicatorOID is that of the extension that makes a list a delta (RFC 5280, 5.2.4).
var deltaIndicatorOID = asn1.ObjectIdentifier{2, 5, 29, 27}

// isDelta says whether there is more revoked than the list names. crypto/x509 leaves it to its caller to look.
func isDelta(list *x509.RevocationList) bool {
	return slices.ContainsFunc(list.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(deltaIndicatorOID) })
}

// signedByOne is RevocationList.CheckSignatureFrom, except that a CA need not have the usage cRLSign: KubeEdge's has not.
func signedByOne(list *x509.RevocationList, authorities []*x509.Certificate) bool {
	for _, ca := range authorities {
		if ca.IsCA && bytes.Equal(ca.RawSubject, list.RawIssuer) &&
			ca.CheckSignature(list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature) == nil {
			return true
		}
	}
	return false
}
