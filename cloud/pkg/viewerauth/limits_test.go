// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubeedge/datastream/cloud/pkg/limit"
)

// askFrom makes a request for the camera from an address.
func askFrom(h http.Handler, address, token string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, camera, nil)
	r.RemoteAddr = address + ":1234"
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// wantRetry checks a refusal that says when to come again.
func wantRetry(t *testing.T, resp *http.Response, code int, contains string) {
	t.Helper()
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	wantStatus(t, resp, code, contains)
}

// One address that tries tokens without end has its share of the questions, and others have theirs.
func TestFloodOfBadTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI("eve get stream yard/gate")
		_, h := newGuard(t, a)
		refused := 0
		for i := range 2000 {
			resp := askFrom(h, "192.0.2.66", fmt.Sprint("guess-", i))
			if resp.StatusCode == http.StatusTooManyRequests {
				refused++
				wantRetry(t, resp, http.StatusTooManyRequests, "at once from you")
			}
			resp.Body.Close()
		}
		if asked := a.count("tokenreviews"); asked > strangersAhead/2 || refused != 2000-asked {
			t.Errorf("%d questions for one source, %d refused", asked, refused)
		}
		wantStatus(t, askFrom(h, "192.0.2.7", "token-eve"), 200, "")
		time.Sleep(time.Second)
		for i := range 1000 {
			askFrom(h, "192.0.2.66", fmt.Sprint("another-", i)).Body.Close()
		}
		if asked := a.count("tokenreviews"); asked > strangersAhead/2+1+strangersPerSecond {
			t.Errorf("%d questions in a second", asked)
		}
	})
}

// From everywhere at once they are sent away, and those who watch are still asked for.
func TestCrowdOfStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI("eve get stream yard/gate")
		g, h := newGuard(t, a)
		var reasons []Reason
		g.cfg.Refused = func(r Reason) { reasons = append(reasons, r) }
		watched := watchFor(t, g, camera, bearer("eve"))
		for i := range 1000 {
			resp := askFrom(h, fmt.Sprintf("10.0.%d.%d", i>>8, i&0xff), fmt.Sprint("guess-", i))
			if resp.StatusCode == http.StatusServiceUnavailable {
				wantRetry(t, resp, http.StatusServiceUnavailable, "at once")
			}
			resp.Body.Close()
		}
		if asked := a.count("tokenreviews"); asked > strangersAhead+1 {
			t.Errorf("%d questions", asked)
		}
		if last := reasons[len(reasons)-1]; last != Crowd || len(reasons) != 1000 {
			t.Errorf("%d refusals are counted, the last as %s", len(reasons), last)
		}
		before := a.count("tokenreviews")
		time.Sleep(time.Minute)
		if a.count("tokenreviews") == before {
			t.Error("nobody asks for who watches")
		}
		watched.viewer.Close()
		watched.wait()
	})
}

// A user who asks for ever new rules has a share of the questions; the rights of others are asked for, and so is its own right to watch.
func TestFloodOfRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI("eve get stream yard/gate", "mallory get stream yard/gate")
		g, h := newGuard(t, a)
		watched := watchFor(t, g, camera, bearer("mallory"))
		for i := range 2000 {
			resp := ask(h, http.MethodGet, fmt.Sprintf("/node/edge-1/rule-%d/camera", i), "", bearer("mallory"))
			if resp.StatusCode == http.StatusTooManyRequests {
				wantRetry(t, resp, http.StatusTooManyRequests, "at once from you")
			}
			resp.Body.Close()
		}
		if asked := a.count("subjectaccessreviews"); asked > askersAhead/2+1 {
			t.Errorf("%d questions for one user", asked)
		}
		wantStatus(t, ask(h, http.MethodGet, camera, "", bearer("eve")), 200, "")
		before := a.count("subjectaccessreviews")
		time.Sleep(time.Minute)
		if a.count("subjectaccessreviews") == before {
			t.Error("nobody asks for who watches")
		}
		watched.viewer.Close()
		watched.wait()
	})
}

func TestFloodOfTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, h := newGuard(t, newAPI("eve get stream yard/gate", "bob get stream yard/gate"))
		refused := 0
		g.cfg.Refused = func(Reason) { refused++ }
		for range 100 {
			wantStatus(t, ask(h, http.MethodPost, camera+"/ticket", "", bearer("eve")), 200, "")
		}
		for range 100 {
			wantRetry(t, ask(h, http.MethodPost, camera+"/ticket", "", bearer("eve")), 429, "too many tickets")
		}
		if refused != 100 {
			t.Errorf("%d refusals are counted", refused)
		}
		wantStatus(t, ask(h, http.MethodPost, camera+"/ticket", "", bearer("bob")), 200, "")
		time.Sleep(time.Second)
		wantStatus(t, ask(h, http.MethodPost, camera+"/ticket", "", bearer("eve")), 200, "")
	})
}

func TestLargeTicketRequest(t *testing.T) {
	_, h := newGuard(t, newAPI("eve get stream yard/gate"))
	wantStatus(t, ask(h, http.MethodPost, camera+"/ticket", `{"control":`+strings.Repeat(" ", 2*maxTicketBody)+`true}`, bearer("eve")), 413, "too large")
}

// Thousands of namespaces cost one question for who may see them all. For others the answers come bit by bit, and are remembered long enough.
func TestVisibleInManyNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		namespaces := make([]string, 1000)
		for i := range namespaces {
			namespaces[i] = fmt.Sprint("ns-", i)
		}
		a := newAPI("root list  /", "eve list  ns-7/")
		g, _ := newGuard(t, a)
		visible := func(user string) (map[string]bool, error) {
			return (&Access{guard: g, user: &User{Username: user}}).Visible(t.Context(), namespaces)
		}
		if all, err := visible("root"); err != nil || len(all) != 1000 || a.count("subjectaccessreviews") != 1 {
			t.Errorf("%d, %v, %d questions", len(all), err, a.count("subjectaccessreviews"))
		}
		for try := 0; ; try++ {
			some, err := visible("eve")
			if err == nil {
				if len(some) != 1000 || !some["ns-7"] || some["ns-8"] {
					t.Errorf("%d, %t, %t", len(some), some["ns-7"], some["ns-8"])
				}
				break
			}
			if !errors.Is(err, limit.ErrShare) {
				t.Fatal(err)
			}
			if try > 5 {
				t.Fatal("it never gets to the end")
			}
			time.Sleep(retryAfter * time.Second)
		}
	})
}

// Pages of sites that are named may change something.
func TestNamedOrigins(t *testing.T) {
	a := newAPI("eve update control yard/gate")
	g, err := New(Config{Reviewer: a.reviewer(), TicketLifetime: time.Minute, RecheckInterval: time.Minute, Origins: []string{"https://wall.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	for origin, want := range map[string]int{"https://wall.example.com": 200, "http://wall.example.com": 403, "https://wall.example.com:8443": 403, "null": 403} {
		wantStatus(t, ask(h, http.MethodPost, camera, "", bearer("eve"), "Sec-Fetch-Site: cross-site", "Origin: "+origin), want, "")
	}
	if _, err := New(Config{Origins: []string{"wall.example.com"}}); err == nil {
		t.Error("a name is taken for an origin")
	}
}
