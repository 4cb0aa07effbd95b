// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/tests/pki"
)

// caller is how somebody asks.
type caller struct {
	token       string
	certificate []tls.Certificate
}

// sign puts the caller's credentials on a request.
func (c caller) sign(header http.Header) {
	if c.token != "" {
		header.Set("Authorization", "Bearer "+c.token)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// account makes a service account in yard with these ClusterRoles in the namespaces, and returns its token. It is deleted after the test.
func account(t *testing.T, name string, namespaces []string, roles ...string) string {
	t.Helper()
	accounts := env.admin.CoreV1().ServiceAccounts(yard)
	_, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { _ = accounts.Delete(context.Background(), name, metav1.DeleteOptions{}) })
	subject := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: yard}
	for _, namespace := range namespaces {
		for _, role := range roles {
			bind(t, namespace, name, role, subject)
		}
	}
	review, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(t, err)
	return review.Status.Token
}

// bind binds a ClusterRole in a namespace, until it is unbound or the test is over.
func bind(t *testing.T, namespace, name, role string, subject rbacv1.Subject) (unbind func()) {
	t.Helper()
	bindings := env.admin.RbacV1().RoleBindings(namespace)
	b := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-" + role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: []rbacv1.Subject{subject},
	}
	_, err := bindings.Create(t.Context(), b, metav1.CreateOptions{})
	must(t, err)
	unbind = func() {
		t.Helper()
		must(t, bindings.Delete(t.Context(), b.Name, metav1.DeleteOptions{}))
	}
	t.Cleanup(func() { _ = bindings.Delete(context.Background(), b.Name, metav1.DeleteOptions{}) })
	return unbind
}

// certificate makes somebody who comes by a certificate of the API server's CA.
func certificate(t *testing.T, name string) caller {
	t.Helper()
	pair, err := env.CA.Issue(pki.Client(name, "people"))
	must(t, err)
	certificate, err := tls.X509KeyPair(pair.PEM())
	must(t, err)
	return caller{certificate: []tls.Certificate{certificate}}
}

// resign returns a token as the API server would have made it at another time. (It makes none for less than ten minutes.)
func resign(t *testing.T, token string, expires time.Time) string {
	t.Helper()
	parts := strings.Split(token, ".")
	header := decodePart(t, parts[0])
	header["alg"] = "ES256"
	payload := decodePart(t, parts[1])
	payload["exp"], payload["iat"], payload["nbf"] = expires.Unix(), expires.Add(-time.Hour).Unix(), expires.Add(-time.Hour).Unix()
	signed := encodePart(t, header) + "." + encodePart(t, payload)

	data, err := os.ReadFile(env.File("accounts.key"))
	must(t, err)
	block, _ := pem.Decode(data)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	must(t, err)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	must(t, err)
	signature := make([]byte, 64) // RFC 7518, 3.4
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func decodePart(t *testing.T, part string) map[string]any {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(part)
	must(t, err)
	var m map[string]any
	must(t, json.Unmarshal(data, &m))
	return maps.Clone(m)
}

func encodePart(t *testing.T, m map[string]any) string {
	t.Helper()
	data, err := json.Marshal(m)
	must(t, err)
	return base64.RawURLEncoding.EncodeToString(data)
}
