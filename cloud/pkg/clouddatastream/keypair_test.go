// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"bytes"
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubeedge/datastream/tests/pki"
)

// A key pair is read when its files have changed, and else not: neither for each handshake nor never.
func TestKeyPair(t *testing.T) {
	dir, now, written := t.TempDir(), time.Unix(1000, 0), time.Unix(500, 0)
	certFile, keyFile := filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	ca, err := pki.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	write := func() (der []byte) {
		t.Helper()
		pair, err := ca.Issue(pki.Server("server"))
		if err == nil {
			err = pair.Write(certFile, keyFile)
		}
		if err != nil {
			t.Fatal(err)
		}
		return pair.Certificate
	}
	at := func(file string, written time.Time) { // whatever the clock of the files is worth
		t.Helper()
		if err := os.Chtimes(file, written, written); err != nil {
			t.Fatal(err)
		}
	}
	k := newKeyPair(certFile, keyFile)
	load := func(want []byte) *tls.Certificate {
		t.Helper()
		cert, err := k.load(now)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(cert.Certificate[0], want) {
			t.Error("it is another certificate than the file's")
		}
		return cert
	}

	if _, err := k.load(now); err == nil {
		t.Error("no files are a certificate")
	}
	first := write()
	at(certFile, written)
	at(keyFile, written)
	cert := load(first)
	now = now.Add(keyPairAge - 1)
	if load(first) != cert {
		t.Error("it is read though nothing has changed")
	}
	second := write()
	at(certFile, written)
	at(keyFile, written.Add(time.Second))
	cert = load(second)
	if load(second) != cert {
		t.Error("it is read though nothing has changed since")
	}
	now = now.Add(keyPairAge)
	if load(second) == cert {
		t.Error("what shows nowhere is never seen")
	}
	if err := os.WriteFile(keyFile, []byte("half of"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.load(now); err == nil {
		t.Error("a key that is none is shown")
	}
	load(write())
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	if _, err := k.load(now); err == nil {
		t.Error("a certificate that is gone is shown")
	}
}
