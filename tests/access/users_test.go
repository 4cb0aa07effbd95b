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
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/tests/pki"
	"github.com/kubeedge/datastream/tests/poll"
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
	request, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(t, err)
	token := request.Status.Token
	known(t, token, "system:serviceaccount:"+yard+":"+name)
	return token
}

// known waits until the API server knows the token as that user's.
func known(t *testing.T, token, user string) {
	t.Helper()
	eventually(t, "the API server to know "+user, func() bool {
		review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
		review, err := env.admin.AuthenticationV1().TokenReviews().Create(t.Context(), review, metav1.CreateOptions{})
		must(t, err)
		return review.Status.User.Username == user
	})
}

// eventually asks again until ok; it is for what nothing signals from outside, such as the answer to a request.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	poll.Until(t, patience, what, ok)
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
	granted(t, subject, mayGet(namespace, ""))
	unbind = func() {
		t.Helper()
		must(t, bindings.Delete(t.Context(), b.Name, metav1.DeleteOptions{}))
	}
	t.Cleanup(func() { _ = bindings.Delete(context.Background(), b.Name, metav1.DeleteOptions{}) })
	return unbind
}

// mayGet is the right to watch the streams of a namespace, or of one rule of it.
func mayGet(namespace, rule string) authorizationv1.SubjectAccessReviewSpec {
	return authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
		Verb: "get", Group: "streamrules.kubeedge.io", Resource: "streamrules", Subresource: "stream", Namespace: namespace, Name: rule,
	}}
}

// mayGetPath is the right to a path that is no resource's.
func mayGetPath(path string) authorizationv1.SubjectAccessReviewSpec {
	return authorizationv1.SubjectAccessReviewSpec{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: "get", Path: path}}
}

// granted waits until the API server knows that the subject has the right: it hears of roles and bindings a little later than they are there.
func granted(t *testing.T, subject rbacv1.Subject, right authorizationv1.SubjectAccessReviewSpec) {
	t.Helper()
	right.User = subject.Name
	switch subject.Kind {
	case rbacv1.ServiceAccountKind:
		right.User = "system:serviceaccount:" + subject.Namespace + ":" + subject.Name
	case rbacv1.GroupKind:
		right.User, right.Groups = "anybody", []string{subject.Name}
	}
	eventually(t, "the right of "+right.User, func() bool {
		review := &authorizationv1.SubjectAccessReview{Spec: right}
		review, err := env.admin.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		must(t, err)
		return review.Status.Allowed
	})
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
	payload := decodePart(t, parts[1])
	payload["exp"], payload["iat"], payload["nbf"] = expires.Unix(), expires.Add(-time.Hour).Unix(), expires.Add(-time.Hour).Unix()
	data, err := os.ReadFile(env.File("accounts.key"))
	must(t, err)
	block, _ := pem.Decode(data)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	must(t, err)
	return sign(t, key, decodePart(t, parts[0]), payload)
}

// sign makes a JSON Web Token (RFC 7519).
func sign(t *testing.T, key *ecdsa.PrivateKey, header, payload map[string]any) string {
	t.Helper()
	header["alg"] = "ES256"
	signed := encodePart(t, header) + "." + encodePart(t, payload)
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
