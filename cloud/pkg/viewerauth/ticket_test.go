// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// getTicket asks for a ticket and returns the URL with it.
func getTicket(t *testing.T, h http.Handler, body string, fields ...string) string {
	t.Helper()
	resp := ask(h, http.MethodPost, camera+"/ticket", body, fields...)
	var a ticketAnswer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || resp.StatusCode != http.StatusOK || a.Ticket == "" {
		t.Fatalf("%s, %v", resp.Status, err)
	}
	if left := time.Until(a.Expires); left < 50*time.Second || left > time.Minute {
		t.Errorf("expires in %v", left)
	}
	return camera + "?ticket=" + url.QueryEscape(a.Ticket)
}

func TestTicket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI("eve get stream yard/gate")
		_, h := newGuard(t, a)
		withTicket := getTicket(t, h, "", bearer("eve"))
		_, query, _ := strings.Cut(withTicket, "?")
		wantStatus(t, ask(h, http.MethodGet, withTicket, ""), 200, "")
		wantStatus(t, ask(h, http.MethodGet, withTicket+"&format=ts", ""), 200, "") // players open a URL more than once
		wantStatus(t, ask(h, http.MethodPost, withTicket, ""), 403, "watching only")
		wantStatus(t, ask(h, http.MethodPost, camera+"/ticket?"+query, ""), 403, "give no tickets")
		wantStatus(t, ask(h, http.MethodGet, camera+"2?"+query, ""), 401, "another stream")
		wantStatus(t, ask(h, http.MethodGet, "/streams?"+query, ""), 401, "another stream")
		wantStatus(t, ask(h, http.MethodGet, "/metrics?"+query, ""), 401, "another stream")
		wantStatus(t, ask(h, http.MethodGet, withTicket+"x", ""), 401, "not made here")
		wantStatus(t, ask(h, http.MethodGet, withTicket, "", bearer("mallory")), 401, "does not know") // what is said aloud counts
		wantStatus(t, ask(h, http.MethodGet, camera, "", "Cookie: "+cookieName+"="+query[len("ticket="):]), 401, "not made here")

		a.change(func() { clear(a.rights) })
		time.Sleep(yesTTL + time.Second)
		wantStatus(t, ask(h, http.MethodGet, withTicket, ""), 403, "user \"eve\"")
		time.Sleep(time.Minute)
		wantStatus(t, ask(h, http.MethodGet, withTicket, ""), 401, "expired")
	})
}

func TestTicketToControl(t *testing.T) {
	_, h := newGuard(t, newAPI("eve get stream yard/gate", "op get stream yard/gate", "op update control yard/gate"))
	const body = `{"control": true}`
	wantStatus(t, ask(h, http.MethodPost, camera+"/ticket", body, bearer("eve")), 403, "--clusterrole=datastream-operator")
	wantStatus(t, ask(h, http.MethodPost, camera+"/ticket", `{"colour": 1}`, bearer("eve")), 400, "control")
	wantStatus(t, ask(h, http.MethodPost, camera+"/ticket", strings.Repeat(" ", 1<<20), bearer("eve")), 413, "")
	wantStatus(t, ask(h, http.MethodPost, getTicket(t, h, body, bearer("op")), ""), 200, "")
	wantStatus(t, ask(h, http.MethodPost, getTicket(t, h, "", bearer("op")), ""), 403, "watching only")
}

// The page that was opened with a ticket goes on with a cookie, for what the ticket was for.
func TestCookie(t *testing.T) {
	_, h := newGuard(t, newAPI("op get stream yard/gate", "op update control yard/gate"))
	const html = "Accept: text/html"
	page := func(url string, fields ...string) *http.Cookie {
		cookies := ask(h, http.MethodGet, url, "", append(fields, html)...).Cookies()
		if len(cookies) != 1 {
			t.Fatalf("cookies %v", cookies)
		}
		return cookies[0]
	}
	watching, controlling := page(getTicket(t, h, "", bearer("op"))), page(getTicket(t, h, `{"control":true}`, bearer("op")))
	byToken := page(camera, bearer("op"))
	for _, c := range []*http.Cookie{watching, controlling, byToken} {
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != camera {
			t.Errorf("%v", c)
		}
	}
	send := func(method, url string, c *http.Cookie) *http.Response {
		return ask(h, method, url, "", "Cookie: "+c.Name+"="+c.Value)
	}
	wantStatus(t, send("GET", camera, watching), 200, "")
	wantStatus(t, send("GET", camera+"?ticket=old", watching), 200, "") // it stays in the page's URL
	wantStatus(t, send("GET", camera+"2", watching), 401, "another stream")
	wantStatus(t, send("POST", camera, watching), 403, "watching only")
	wantStatus(t, send("POST", camera, controlling), 200, "")
	wantStatus(t, send("POST", camera, byToken), 200, "")
	wantStatus(t, send("GET", camera+"?ticket="+watching.Value, &http.Cookie{Name: "x", Value: "y"}), 401, "not made here")
	if resp := ask(h, http.MethodGet, camera, "", "Cookie: "+watching.Name+"="+watching.Value, html); len(resp.Cookies()) != 0 {
		t.Error("a cookie gives another: it would never end")
	}
}

// No page with a cookie that a browser would not keep.
func TestUserWithManyGroups(t *testing.T) {
	g, _ := newGuard(t, newAPI())
	u := User{Username: "eve", Groups: []string{strings.Repeat("g", maxSealed)}}
	a := &Access{guard: g, user: &u, credential: token{}}
	if err := a.SetCookie(nil, true); !errors.Is(err, errTooLarge) {
		t.Errorf("%v, want %v", err, errTooLarge)
	}
}

func TestKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, make([]byte, minKey), 0o600); err != nil {
		t.Fatal(err)
	}
	one, errOne := newSealer(file)
	two, errTwo := newSealer(file)
	if err := errors.Join(errOne, errTwo); err != nil {
		t.Fatal(err)
	}
	value, err := one.seal(claims{Use: useTicket, Expires: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.open(value, useTicket, time.Now()); err != nil {
		t.Errorf("another process with the same key: %v", err)
	}
	other, err := newSealer("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.open(value, useTicket, time.Now()); !errors.Is(err, errForged) {
		t.Errorf("another key: %v", err)
	}
	if err := os.WriteFile(file, make([]byte, minKey-1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{TicketKeyFile: file}); err == nil {
		t.Error("a short key is taken")
	}
	if _, err := New(Config{TicketKeyFile: file + "x"}); err == nil {
		t.Error("a missing key is taken")
	}
}

// FuzzTicket opens what anybody may send. Only what was sealed is opened, and then it says what was sealed.
func FuzzTicket(f *testing.F) {
	s := sealer{make([]byte, minKey)}
	now := time.Unix(1_700_000_000, 0).UTC()
	genuine := claims{Use: useTicket, Stream: "edge-1/yard/gate/camera", User: User{Username: "eve", Groups: []string{"a"}}, Expires: now.Add(time.Minute)}
	good, err := s.seal(genuine)
	if err != nil {
		f.Fatal(err)
	}
	body, mac, _ := strings.Cut(good, ".")
	for _, seed := range []string{
		good, good + "=", good + ".", body, "." + mac, body + "." + mac[:len(mac)-1], body + "." + mac + "A", strings.ToUpper(good), "", ".",
		base64.RawURLEncoding.EncodeToString([]byte(`{"use":"ticket"}`)) + "." + mac, strings.Repeat("A", maxSealed+1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, err := s.open(value, useTicket, now)
		if err == nil && (value != good || !reflect.DeepEqual(*c, genuine)) {
			t.Errorf("%q was opened: %+v", value, c)
		}
		if err != nil && value == good {
			t.Error(err)
		}
	})
}

// streamURL is the path of a stream's URL.
func streamURL(k tunnel.StreamKey) string {
	p := "/node/" + k.Node + "/" + k.Rule + k.Path
	if k.Namespace != defaultNamespace {
		p = "/namespaces/" + k.Namespace + p
	}
	return p
}

// FuzzClassify looks for a path that the guard and whoever takes it apart otherwise understand differently.
func FuzzClassify(f *testing.F) {
	for _, seed := range []string{
		camera, camera + "/ticket", "/node/a/b/c", "/node/a/b/ticket", "/node/a", "/metrics", "/streams", "/debug/pprof/heap", "/assets/x", "/healthz",
		"/namespaces/node/node/node/node/node", "//node/a/b/c", "/node/../metrics", "/node/a/b/c/", "", "node", "/namespaces//node/a/b/c", "/\x00",
	} {
		f.Add("GET", seed)
		f.Add("POST", seed)
	}
	f.Fuzz(func(t *testing.T, method, p string) {
		got, ok := classify(method, p)
		if !ok {
			return
		}
		switch got.action {
		case watch, control:
			if back := streamURL(got.stream); strings.TrimRight(back, "/") != strings.TrimPrefix(p, "/namespaces/default") && strings.TrimRight(back, "/") != p {
				t.Errorf("%q is %+v, which is %q", p, got.stream, back)
			}
			if got.stream.Namespace == "" || got.stream.Node == "" || strings.Contains(got.stream.Node+got.stream.Namespace+got.stream.Rule, "/") {
				t.Errorf("%q is %+v", p, got.stream)
			}
			if (got.action == watch) != (method == http.MethodGet || method == http.MethodHead) {
				t.Errorf("%s needs the right to %v", method, got.action)
			}
		case ticket:
			if method != http.MethodPost || !strings.HasSuffix(p, ticketSuffix) {
				t.Errorf("%s %q gives a ticket", method, p)
			}
		}
	})
}

// Neither a ticket nor the cookie that it leads to gives another one: else it would last for ever.
func TestNoTicketForACookie(t *testing.T) {
	a := newAPI("eve get stream yard/gate")
	_, h := newGuard(t, a)
	cookie := ask(h, http.MethodGet, getTicket(t, h, "", bearer("eve")), "", "Accept: text/html").Cookies()[0]
	resp := ask(h, http.MethodPost, camera+"/ticket", "", "Cookie: "+cookieName+"="+cookie.Value)
	wantStatus(t, resp, http.StatusForbidden, "give no tickets")
}
