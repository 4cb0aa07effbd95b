// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
)

const (
	issuerClient = "streams"
	issuerPrefix = "oidc:" // of its users and groups
)

// issuer is an OpenID Connect provider, as much of one as the API server asks for: it has metadata and keys (OpenID Connect
// Discovery 1.0, 3 and 4), and nobody logs in.
type issuer struct {
	*httptest.Server
	key *ecdsa.PrivateKey
}

func newIssuer() (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	i := &issuer{key: key}
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, 32))) }
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{
			map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": number(key.X), "y": number(key.Y)},
		}})
	})
	i.Server = httptest.NewTLSServer(mux)
	return i, nil
}

// flags make an API server trust the issuer.
func (i *issuer) flags(dir string) ([]string, error) {
	ca := filepath.Join(dir, "oidc.crt")
	err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}), 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing the issuer's certificate: %w", err)
	}
	return []string{
		"--oidc-issuer-url=" + i.URL, "--oidc-ca-file=" + ca, "--oidc-client-id=" + issuerClient, "--oidc-signing-algs=ES256",
		"--oidc-username-claim=email", "--oidc-username-prefix=" + issuerPrefix, "--oidc-groups-claim=groups", "--oidc-groups-prefix=" + issuerPrefix,
	}, nil
}

// token is the ID token of somebody of these groups. Claims replace those that it would have.
func (i *issuer) token(t *testing.T, user string, groups []string, claims map[string]any) string {
	t.Helper()
	payload := map[string]any{
		"iss": i.URL, "aud": issuerClient, "sub": user, "email": user, "groups": groups,
		"iat": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(payload, claims)
	return sign(t, i.key, map[string]any{"kid": "1"}, payload)
}

// Users and groups of an OpenID Connect provider are viewers like all others: the API server knows them.
func TestOIDC(t *testing.T) {
	const guard, visitor = "guard@example.com", "visitor@example.com"
	group := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: issuerPrefix + "guards"}
	bind(t, yard, "guards", "datastream-viewer", group)
	guards := env.issuer.token(t, guard, []string{"guards"}, nil)
	known(t, guards, issuerPrefix+guard) // it asks its issuer for the keys by and by

	forged, err := newIssuer()
	must(t, err)
	defer forged.Close()
	for name, c := range map[string]struct {
		token string
		want  int
	}{
		"guard":          {guards, 200},
		"visitor":        {env.issuer.token(t, visitor, nil, nil), 403},
		"expired":        {env.issuer.token(t, guard, []string{"guards"}, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), 401},
		"another client": {env.issuer.token(t, guard, []string{"guards"}, map[string]any{"aud": "mail"}), 401},
		"another issuer": {forged.token(t, guard, []string{"guards"}, nil), 401},
		"another's key":  {forged.token(t, guard, []string{"guards"}, map[string]any{"iss": env.issuer.URL}), 401},
		"without prefix": {env.issuer.token(t, "system:admin", []string{"system:masters"}, nil), 403},
	} {
		t.Run(name, func(t *testing.T) {
			for _, url := range []string{inYard + "?format=state", inYard + "?format=mp4", inYard + "?format=mse"} {
				want := c.want
				if want == http.StatusOK && url == inYard+"?format=mse" {
					want = http.StatusSwitchingProtocols
				}
				code, body := ask(t, caller{token: c.token}, question{method: http.MethodGet, url: url})
				if code != want {
					t.Errorf("%s: %d, want %d: %.300s", url, code, want, body)
				}
			}
		})
	}
}
