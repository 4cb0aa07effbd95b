// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

// newGuardedRig is one whose viewers are authenticated, by an API server that is not real.
func newGuardedRig(t *testing.T) (*rig, *apiServer) {
	t.Helper()
	api := new(apiServer)
	r := newRig(t, func(c *v1alpha1.CloudDataStream) {
		c.Stream.Authentication = v1alpha1.AuthenticationKubernetes
		c.Stream.TicketLifetime.Duration = 2 * time.Second
	}, clouddatastream.WithReviewer(api))
	r.assign(decoyNode, decoyRule)
	return r, api
}

// ticket is one of user's for the stream at path.
func (r *rig) ticket(t *testing.T, user, path string) string {
	t.Helper()
	resp, body := r.call(t, http.MethodPost, path+"/ticket", tokenOf(user), "")
	var answer struct{ Ticket string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Ticket == "" {
		t.Fatalf("no ticket: %s %s", resp.Status, body)
	}
	return answer.Ticket
}

// A ticket is good for its user, its stream and its time, and in no other way.
func TestForgedTickets(t *testing.T) {
	r, api := newGuardedRig(t)
	const state = "?format=state"
	use := func(t *testing.T, path, ticket string) int {
		t.Helper()
		resp, _ := r.call(t, http.MethodGet, path+state+"&ticket="+url.QueryEscape(ticket), "", "")
		return resp.StatusCode
	}
	r.attack("changed", func(t *testing.T) {
		ticket := r.ticket(t, "mallory", honestPath)
		if code := use(t, honestPath, ticket); code != http.StatusOK {
			t.Fatalf("as it is: %d", code)
		}
		for i := range ticket {
			forged := []byte(ticket)
			forged[i] ^= 1
			if code := use(t, honestPath, string(forged)); code != http.StatusUnauthorized {
				t.Errorf("byte %d changed: %d", i, code)
			}
		}
		for _, forged := range []string{ticket[:len(ticket)-1], ticket + "A", ticket + "=", "." + ticket, ticket + "." + ticket, strings.ReplaceAll(ticket, ".", ""), strings.Repeat("A", 10_000)} {
			if code := use(t, honestPath, forged); code != http.StatusUnauthorized {
				t.Errorf("%.20s…: %d", forged, code)
			}
		}
	})
	r.attack("on another stream", func(t *testing.T) {
		if code := use(t, decoyPath, r.ticket(t, "mallory", honestPath)); code != http.StatusUnauthorized {
			t.Error(code)
		}
	})
	r.attack("to control", func(t *testing.T) {
		ticket := url.QueryEscape(r.ticket(t, "mallory", decoyPath))
		for _, path := range []string{decoyPath + "?ticket=" + ticket, decoyPath + "/ticket?ticket=" + ticket} {
			if resp, body := r.call(t, http.MethodPost, path, "", `{"action":"start"}`); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %s %s", path, resp.Status, body)
			}
		}
	})
	r.attack("replayed after its time", func(t *testing.T) {
		ticket := r.ticket(t, "mallory", honestPath)
		eventually(t, "its end", func() bool { return use(t, honestPath, ticket) == http.StatusUnauthorized })
	})
	r.attack("after the user lost the right", func(t *testing.T) {
		ticket := r.ticket(t, "lost", honestPath)
		api.deny("lost")
		// A yes may be remembered for longer than the ticket lasts: then it ends with that.
		eventually(t, "its end", func() bool { return use(t, honestPath, ticket) >= http.StatusUnauthorized })
	})
}

// Floods of credentials are answered with when to come again, cost the API server little, and others their right to nothing.
func TestFloodsOfCredentials(t *testing.T) {
	r, api := newGuardedRig(t)
	asked := func() int {
		api.mu.Lock()
		defer api.mu.Unlock()
		return api.asked
	}
	flood := func(t *testing.T, n int, request func(i int) (method, path, token string)) (refused int) {
		t.Helper()
		for i := range n {
			method, path, token := request(i)
			resp, body := r.call(t, method, path, token, "")
			if resp.StatusCode == http.StatusTooManyRequests {
				refused++
				if resp.Header.Get("Retry-After") == "" || !strings.Contains(body, `"kind":"Status"`) {
					t.Fatalf("no time to come again: %v %s", resp.Header, body)
				}
			}
		}
		return refused
	}
	n := count(400, 10_000)
	for name, request := range map[string]func(i int) (method, path, token string){
		"bad tokens": func(i int) (string, string, string) { return http.MethodGet, honestPath, fmt.Sprint("guess-", i) },
		"new rules": func(i int) (string, string, string) {
			return http.MethodGet, fmt.Sprintf("/node/%s/rule-%d/camera", honestNode, i), tokenOf("mallory")
		},
		"tickets": func(int) (string, string, string) { return http.MethodPost, honestPath + "/ticket", tokenOf("mallory") },
	} {
		r.raid(name, func(t *testing.T) {
			before, began := asked(), time.Now()
			refused := flood(t, n, request)
			if refused == 0 {
				t.Error("all are taken")
			}
			// What there is in advance, and what the rates make up for meanwhile.
			if most := 400 + int(100*(time.Since(began)+time.Second).Seconds()); asked()-before > most {
				t.Errorf("the API server was asked %d times, want at most %d", asked()-before, most)
			}
			t.Logf("%d of %d are refused, %d questions", refused, n, asked()-before)
			resp, body := r.call(t, http.MethodGet, honestPath+"?format=state", tokenOf("somebody-else"), "")
			if name != "bad tokens" && resp.StatusCode != http.StatusOK { // that one comes from the same address
				t.Errorf("another user: %s %s", resp.Status, body)
			}
			r.get(t, "/streams")
		})
	}
}
