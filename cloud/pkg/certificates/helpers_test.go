// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package certificates

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"
)

// waitForWatches returns when both secrets are watched.
func waitForWatches(t *testing.T, client *fake.Clientset) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		watches := 0
		for _, action := range client.Actions() {
			if action.GetVerb() == "watch" {
				watches++
			}
		}
		if watches >= 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the secrets are not watched")
		}
		<-time.After(time.Millisecond)
	}
}

func overwrite(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("nothing of use"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func echo(c net.Conn) {
	defer c.Close()
	_, _ = io.Copy(c, c)
}

// dial connects and expects the server to show that certificate.
func dial(t *testing.T, address string, want pair) *tls.Conn {
	t.Helper()
	cert, err := x509.ParseCertificate(want.cert)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(cert)
	c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: trusted})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func ping(t *testing.T, c *tls.Conn) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "ping" {
		t.Fatalf("%q, %v", answer, err)
	}
}
