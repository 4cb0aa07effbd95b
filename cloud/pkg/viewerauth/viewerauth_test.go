// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/klog/v2"
)

const camera = "/namespaces/yard/node/edge-1/gate/camera"

func TestWho(t *testing.T) {
	a := newAPI("eve get stream yard/gate", "bob get stream yard/other")
	_, h := newGuard(t, a)
	protocol := protocolHeader + ": mse, " + bearerProtocol + base64.RawURLEncoding.EncodeToString([]byte("token-eve"))
	for _, c := range []struct {
		name, field string
		code        int
		contains    string
	}{
		{"nobody", "X-Any: x", 401, "kubectl create token"},
		{"Basic", "Authorization: Basic dTpw", 401, "no bearer token"},
		{"no token", "Authorization: Bearer ", 401, "no bearer token"},
		{"unknown token", bearer("mallory"), 401, "does not know"},
		{"large token", "Authorization: Bearer " + strings.Repeat("x", maxTokenSize+1), 401, "no bearer token"},
		{"allowed", bearer("eve"), 200, ""},
		{"lower case", "Authorization: bearer token-eve", 200, ""},
		{"another rule", bearer("bob"), 403, "kubectl create rolebinding datastream-viewer:bob --clusterrole=datastream-viewer --user=bob -n yard"},
		{"subprotocol", protocol, 200, ""},
		{"bad subprotocol", protocolHeader + ": " + bearerProtocol + "%%", 401, "base64url"},
		{"empty subprotocol", protocolHeader + ": " + bearerProtocol, 401, "base64url"},
		{"bad ticket", "X-Any: x", 401, ""},
		{"bad cookie", "Cookie: " + cookieName + "=x.y", 401, "the cookie is not good"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := ask(h, http.MethodGet, camera, "", c.field)
			wantStatus(t, resp, c.code, c.contains)
			if challenge := resp.Header.Get("WWW-Authenticate"); (c.code == 401) != strings.HasPrefix(challenge, "Bearer ") {
				t.Errorf("challenge %q", challenge)
			}
		})
	}
}

func TestWhat(t *testing.T) {
	_, h := newGuard(t, newAPI(
		"viewer get stream yard/gate", "operator get stream yard/gate", "operator update control yard/gate",
		"all get stream default/*", "prometheus get /metrics", "prober get stream other/gate"))
	for _, c := range []struct {
		user, method, url string
		code              int
	}{
		{"viewer", "GET", camera, 200},
		{"viewer", "HEAD", camera, 200},
		{"viewer", "GET", camera + "?format=state", 200},
		{"viewer", "GET", "/namespaces/yard/node/edge-1/gate/other/path", 200},
		{"viewer", "GET", "/namespaces/yard/node/edge-1/gate", 200},
		{"viewer", "GET", "/namespaces/yard/node/edge-1", 403},
		{"viewer", "GET", "/namespaces/yard/node/edge-1/other/camera", 403},
		{"viewer", "GET", "/node/edge-1/gate/camera", 403},
		{"viewer", "POST", camera, 403},
		{"viewer", "PUT", camera, 403},
		{"viewer", "DELETE", camera, 403},
		{"viewer", "OPTIONS", camera, 403},
		{"viewer", "POST", camera + "/ticket", 200},
		{"viewer", "GET", "/metrics", 403},
		{"viewer", "GET", "/debug/pprof/heap", 403},
		{"viewer", "GET", "/debug/pprof/", 403},
		{"viewer", "GET", "/streams", 200},
		{"operator", "POST", camera, 200},
		{"all", "GET", "/node/edge-1/any/path", 200},
		{"all", "GET", "/node/edge-1", 200},
		{"all", "POST", "/node/edge-1/any/path", 403},
		{"prometheus", "GET", "/metrics", 200},
		{"prometheus", "GET", camera, 403},
		{"prober", "GET", camera, 403},
		{"prober", "POST", camera + "/ticket", 403},
		{"", "GET", "/streams", 401},
		{"", "GET", "/metrics", 401},
		{"", "POST", camera, 401},
		{"", "POST", camera + "/ticket", 401},
		{"", "GET", "/healthz", 200},
		{"", "GET", "/readyz", 200},
		{"", "GET", "/assets/player.js", 200},
		// Whatever it does not know is shut, also to those who may do everything.
		{"operator", "GET", "/", 404},
		{"operator", "GET", "/new", 404},
		{"operator", "GET", "/metrics/", 404},
		{"operator", "GET", "/debug/pprof", 404},
		{"operator", "GET", "/debug/pprof//", 404},
		{"operator", "GET", "/debug/pprof/heap/", 404},
		{"operator", "GET", "/namespaces/yard", 404},
		{"operator", "GET", "/namespaces/yard/pods/x", 404},
		{"operator", "GET", "/assets/../metrics", 404},
		{"operator", "GET", "//node/edge-1/gate/camera", 404},
		{"operator", "GET", "/namespaces/other/../yard/node/edge-1/gate/camera", 404},
		{"operator", "GET", camera + "/", 404},
	} {
		t.Run(c.user+" "+c.method+" "+c.url, func(t *testing.T) {
			var fields []string
			if c.user != "" {
				fields = append(fields, bearer(c.user))
			}
			wantStatus(t, ask(h, c.method, c.url, "", fields...), c.code, "")
		})
	}
}

// The key that handlers get is that of the review, however the URL is written.
func TestStreamOfAccess(t *testing.T) {
	_, h := newGuard(t, newAPI("eve get stream yard/gate", "eve get stream default/gate"))
	for url, want := range map[string]string{
		camera:                           "eve edge-1/yard/gate/camera",
		"/node/edge-1/gate/a/b%20c":      "eve edge-1/default/gate/a/b c",
		"/node/edge-1/gate%2Fcamera":     "eve edge-1/default/gate/camera",
		"/node/edge-1/gate/namespaces/x": "eve edge-1/default/gate/namespaces/x",
	} {
		body, _ := io.ReadAll(ask(h, http.MethodGet, url, "", bearer("eve")).Body)
		if string(body) != want {
			t.Errorf("%s: %q, want %q", url, body, want)
		}
	}
}

// Pages of other sites do nothing in the name of who has them open.
func TestForeignPage(t *testing.T) {
	_, h := newGuard(t, newAPI("eve update control yard/gate"))
	wantStatus(t, ask(h, http.MethodPost, camera, "", bearer("eve"), "Sec-Fetch-Site: cross-site"), 403, "another site")
	wantStatus(t, ask(h, http.MethodPost, camera, "", bearer("eve"), "Origin: https://evil.example"), 403, "another site")
	wantStatus(t, ask(h, http.MethodPost, camera, "", bearer("eve"), "Sec-Fetch-Site: same-origin"), 200, "")
}

func TestVisible(t *testing.T) {
	g, _ := newGuard(t, newAPI("eve list  yard/", "root list  /"))
	for user, want := range map[string]string{"eve": `{"default":false,"yard":true}`, "root": `{"default":true,"yard":true}`, "bob": `{"default":false,"yard":false}`} {
		a := &Access{guard: g, user: &User{Username: user}}
		got, err := a.Visible(t.Context(), []string{"yard", "default", "yard"})
		text, _ := json.Marshal(got)
		if err != nil || string(text) != want {
			t.Errorf("%s: %s, %v, want %s", user, text, err, want)
		}
	}
}

// Nobody is let in while the API server is away, and nobody is told why.
func TestOutage(t *testing.T) {
	a := newAPI("eve get stream yard/gate")
	_, h := newGuard(t, a)
	a.change(func() { a.down = true })
	resp := ask(h, http.MethodGet, camera, "", bearer("eve"))
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	wantStatus(t, resp, 503, "cannot be asked")
	a.change(func() { a.down = false }) // and an outage is not remembered
	wantStatus(t, ask(h, http.MethodGet, camera, "", bearer("eve")), 200, "")
}

func TestNone(t *testing.T) {
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := From(r.Context())
		if err := a.SetCookie(w, false); err != nil || a.User() != "" {
			t.Errorf("%q, %v", a.User(), err)
		}
		if visible, err := a.Visible(r.Context(), []string{"yard"}); err != nil || !visible["yard"] {
			t.Error(visible, err)
		}
	}))
	wantStatus(t, ask(h, http.MethodGet, camera, ""), 200, "")
	wantStatus(t, ask(h, http.MethodPost, camera, ""), 200, "")
	wantStatus(t, ask(h, http.MethodGet, "/metrics", ""), 200, "")
	wantStatus(t, ask(h, http.MethodGet, "/new", ""), 404, "")
	wantStatus(t, ask(h, http.MethodPost, camera+"/ticket", ""), 409, "authentication is none")
}

// Answers are remembered, a yes longer than a no, and none for ever.
func TestRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI("eve get stream yard/gate", "bob get stream other/gate")
		_, h := newGuard(t, a)
		for range 10 {
			wantStatus(t, ask(h, http.MethodGet, camera, "", bearer("eve")), 200, "")
			wantStatus(t, ask(h, http.MethodGet, camera, "", bearer("bob")), 403, "")
			wantStatus(t, ask(h, http.MethodGet, camera, "", bearer("mallory")), 401, "")
		}
		if tokens, rights := a.count("tokenreviews"), a.count("subjectaccessreviews"); tokens != 3 || rights != 2 {
			t.Errorf("%d and %d reviews, want 3 and 2", tokens, rights)
		}
		a.change(func() { a.rights = map[string]bool{"bob get stream yard/gate": true} })
		time.Sleep(noTTL + time.Second)
		wantStatus(t, ask(h, http.MethodGet, camera, "", bearer("bob")), 200, "")
		wantStatus(t, ask(h, http.MethodGet, camera, "", bearer("eve")), 200, "")
		time.Sleep(yesTTL)
		wantStatus(t, ask(h, http.MethodGet, camera, "", bearer("eve")), 403, "")
	})
}

// The advice of one user works beside that of another: each names a binding of its own, with a name that RBAC takes.
func TestAdviceNamesABinding(t *testing.T) {
	for user, want := range map[string]string{
		"bob":                          "rolebinding datastream-viewer:bob --clusterrole=datastream-viewer --user=bob -n yard",
		"system:serviceaccount:yard:a": "rolebinding datastream-viewer:yard:a --clusterrole=datastream-viewer --serviceaccount=yard:a -n yard",
		"https://id/50%#b":             "rolebinding 'datastream-viewer:https:--id-50-#b' --clusterrole=datastream-viewer --user='https://id/50%#b' -n yard",
	} {
		if got := forbidden(user, right{verb: "get", subresource: "stream", namespace: "yard", rule: "gate"}); !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s", user, got)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"gate":                      "gate",
		"system:serviceaccount:a:b": "system:serviceaccount:a:b",
		"":                          "''",
		"$(rm -rf ~)":               "'$(rm -rf ~)'",
		"a'b":                       `'a'\''b'`,
		"a\nb\x1b\u009b2J":          "'a?b??2J'",
	} {
		if got := quote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// What the guard costs a viewer whose answers are remembered.
func BenchmarkRemembered(b *testing.B) {
	g, err := New(Config{Reviewer: newAPI("eve get stream yard/gate").reviewer(), RecheckInterval: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	h := g.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.ReportAllocs()
	for b.Loop() {
		ask(h, http.MethodGet, camera, "", bearer("eve"))
	}
}

// A client certificate counts if TLS has verified it, for as long as it is valid.
func TestCertificate(t *testing.T) {
	_, h := newGuard(t, newAPI("carol get stream yard/gate"))
	for _, c := range []struct {
		name     string
		subject  pkix.Name
		left     time.Duration
		verified bool
		code     int
	}{
		{"good", pkix.Name{CommonName: "carol", Organization: []string{"people"}}, time.Hour, true, 200},
		{"another user's", pkix.Name{CommonName: "dave"}, time.Hour, true, 403},
		{"nobody's", pkix.Name{Organization: []string{"system:masters"}}, time.Hour, true, 401},
		{"over", pkix.Name{CommonName: "carol"}, -time.Second, true, 401},
		{"not verified", pkix.Name{CommonName: "carol"}, time.Hour, false, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			certificate := &x509.Certificate{Subject: c.subject, NotAfter: time.Now().Add(c.left)}
			r := httptest.NewRequest(http.MethodGet, camera, nil)
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
			if c.verified {
				r.TLS.VerifiedChains = [][]*x509.Certificate{{certificate}}
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			wantStatus(t, w.Result(), c.code, "")
		})
	}
}

// Whoever asks the log who is refused is told, whatever the reason, and sees no credentials.
func TestRefusalsAreLogged(t *testing.T) {
	defer klog.CaptureState().Restore()
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	klog.InitFlags(flags)
	if err := flags.Set("v", "2"); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.Level(-2)})))
	a := newAPI("eve get stream yard/gate", "bob get stream yard/other")
	_, h := newGuard(t, a)
	for want, field := range map[string]string{
		`user="" remote=192.0.2.1:1234 path=` + camera + ` reason="no credentials"`:                              "X-Any: x",
		`user="" remote=192.0.2.1:1234 path=` + camera + ` reason="the API server does not know`:                 bearer("canary"),
		`user="" remote=192.0.2.1:1234 path=` + camera + ` reason="the Authorization header holds no bearer`:     "Authorization: Basic canary",
		`user="" remote=192.0.2.1:1234 path=` + camera + ` reason="the cookie is not good: it was not made here`: "Cookie: " + cookieName + "=canary",
		`user=bob remote=192.0.2.1:1234 path=` + camera + ` reason="no right to get"`:                            bearer("bob"),
	} {
		lines.Reset()
		ask(h, http.MethodGet, camera, "", field)
		if got := lines.String(); !strings.Contains(got, `msg="Viewer refused" `+want) || strings.Count(got, "\n") != 1 || strings.Contains(got, "canary") {
			t.Errorf("%s: %s", field, got)
		}
	}
}
