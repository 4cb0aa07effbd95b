// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package certificates

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a certificate and its key, both DER.
type pair struct{ cert, key []byte }

func newPair(t *testing.T, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	// CloudHub's form of a key.
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{cert, keyDER}
}

func (p pair) caSecret() *corev1.Secret {
	return secret(CASecret, map[string][]byte{CADataKey: p.cert, "cakeydata": p.key})
}

func (p pair) serverSecret() *corev1.Secret {
	return secret(ServerSecret, map[string][]byte{ServerCertKey: p.cert, ServerKeyKey: p.key})
}

func (p pair) write(t *testing.T, certFile, keyFile string) {
	t.Helper()
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: p.cert}, keyFile: {Type: "EC PRIVATE KEY", Bytes: p.key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func secret(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name}, Data: data}
}

// start runs a store on a fake API server until the test ends.
func start(t *testing.T, files Files, objects ...runtime.Object) (*Store, *fake.Clientset) {
	t.Helper()
	client := fake.NewSimpleClientset(objects...)
	s := New(files, client)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return s, client
}

// eventually waits until Load returns this CA and this server certificate.
func eventually(t *testing.T, s *Store, ca, server pair) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		trusted, got, err := s.Load()
		if err == nil && bytes.Equal(got.Certificate[0], server.cert) && trusts(trusted, ca) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the store does not get there: %v", err)
		}
		<-time.After(time.Millisecond)
	}
}

func trusts(trusted []*x509.Certificate, ca pair) bool {
	return len(trusted) == 1 && bytes.Equal(trusted[0].Raw, ca.cert)
}

// put creates or updates a secret.
func put(t *testing.T, client *fake.Clientset, s *corev1.Secret) {
	t.Helper()
	ctx, secrets := context.Background(), client.CoreV1().Secrets(Namespace)
	if _, err := secrets.Create(ctx, s, metav1.CreateOptions{}); err == nil {
		return
	}
	if _, err := secrets.Update(ctx, s, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestFirstStart(t *testing.T) {
	ca, server := newPair(t, "ca"), newPair(t, "server")
	s, client := start(t, Files{CA: filepath.Join(t.TempDir(), "none")})
	if _, _, err := s.Load(); err == nil || !strings.Contains(err.Error(), "kubeedge/casecret") {
		t.Fatalf("without any certificate: %v", err)
	}
	// The fake forgets what happens between its list and its watch, so the watches come first.
	waitForWatches(t, client)
	put(t, client, ca.caSecret())
	put(t, client, server.serverSecret())
	eventually(t, s, ca, server)
}

func TestRotation(t *testing.T) {
	ca, server := newPair(t, "ca"), newPair(t, "server")
	s, client := start(t, Files{}, ca.caSecret(), server.serverSecret())
	eventually(t, s, ca, server)
	waitForWatches(t, client)
	ca, server = newPair(t, "ca"), newPair(t, "server")
	put(t, client, ca.caSecret())
	put(t, client, server.serverSecret())
	eventually(t, s, ca, server)
}

func TestBadSecretChangesNothing(t *testing.T) {
	ca, server := newPair(t, "ca"), newPair(t, "server")
	s := New(Files{}, nil)
	s.take(ca.caSecret())
	s.take(server.serverSecret())
	for name, bad := range map[string]*corev1.Secret{
		"CA without data":     secret(CASecret, nil),
		"CA in PEM":           secret(CASecret, map[string][]byte{CADataKey: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert})}),
		"server without data": secret(ServerSecret, nil),
		"foreign key":         pair{server.cert, ca.key}.serverSecret(),
		"another secret":      secret("tokensecret", map[string][]byte{CADataKey: server.cert}),
	} {
		s.take(bad)
		trusted, got, err := s.Load()
		if err != nil || !bytes.Equal(got.Certificate[0], server.cert) || !trusts(trusted, ca) {
			t.Errorf("%s: Load has changed, error %v", name, err)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	files := Files{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "server.crt"), Key: filepath.Join(dir, "server.key")}
	inSecrets, onDisk := newPair(t, "secret"), newPair(t, "file")
	s := New(files, nil)
	s.take(inSecrets.caSecret())
	s.take(inSecrets.serverSecret())
	eventually(t, s, inSecrets, inSecrets)

	onDisk.write(t, files.CA, filepath.Join(dir, "ca.key"))
	eventually(t, s, onDisk, inSecrets) // each is found on its own
	onDisk.write(t, files.Cert, files.Key)
	eventually(t, s, onDisk, onDisk)

	newer := newPair(t, "newer")
	newer.write(t, files.Cert, files.Key)
	eventually(t, s, onDisk, newer)
}

// Where another CA than CloudHub's is named, CloudHub's is never trusted instead.
func TestOwnCA(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own.crt")
	hub, own := newPair(t, "hub"), newPair(t, "own")
	s := New(Files{CA: file, OwnCA: true}, nil)
	s.take(hub.caSecret())
	s.take(hub.serverSecret())
	if trusted, _, err := s.Load(); err == nil {
		t.Fatalf("%d certificates are trusted without the file", len(trusted))
	}
	own.write(t, file, file+".key")
	eventually(t, s, own, hub)
}

func TestBadFiles(t *testing.T) {
	good := newPair(t, "good")
	for name, test := range map[string]struct {
		damage func(t *testing.T, f Files)
		want   string
	}{
		"CA is no PEM": {func(t *testing.T, f Files) { overwrite(t, f.CA) }, "no certificate in"},
		"no key":       {func(t *testing.T, f Files) { remove(t, f.Key) }, "certificate and key"},
		"no cert":      {func(t *testing.T, f Files) { remove(t, f.Cert) }, "certificate and key"},
		"bad key":      {func(t *testing.T, f Files) { overwrite(t, f.Key) }, "server.key"},
		"foreign key":  {func(t *testing.T, f Files) { newPair(t, "x").write(t, f.Cert+".x", f.Key) }, "does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := Files{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "server.crt"), Key: filepath.Join(dir, "server.key")}
			good.write(t, f.CA, filepath.Join(dir, "ca.key"))
			good.write(t, f.Cert, f.Key)
			test.damage(t, f)
			s := New(f, nil)
			s.take(good.caSecret()) // a damaged file is not passed over for a secret
			s.take(good.serverSecret())
			if _, _, err := s.Load(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one about %q", err, test.want)
			}
		})
	}
}

// TestConnectionOutlivesRotation has a TLS connection made with the old certificates go on, and a new one get the new.
func TestConnectionOutlivesRotation(t *testing.T) {
	first, second := newPair(t, "first"), newPair(t, "second")
	s := New(Files{}, nil)
	s.take(first.caSecret())
	s.take(first.serverSecret())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		_, cert, err := s.Load()
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echo(c)
		}
	}()
	defer func() {
		l.Close()
		<-done
	}()

	old := dial(t, l.Addr().String(), first)
	s.take(second.caSecret())
	s.take(second.serverSecret())
	ping(t, dial(t, l.Addr().String(), second))
	ping(t, old)
}
