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
func newGuardedRig(t *testing.T, tune func(*v1alpha1.CloudDataStream)) (*rig, *apiServer) {
	t.Helper()
	api := new(apiServer)
	r := newRig(t, func(c *v1alpha1.CloudDataStream) {
		c.Stream.Authentication = v1alpha1.AuthenticationKubernetes
		tune(c)
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

// use asks with a ticket and nothing else for the state of the stream at path.
func (r *rig) use(t *testing.T, path, ticket string) (code int) {
	t.Helper()
	resp, _ := r.call(t, http.MethodGet, path+"?format=state&ticket="+url.QueryEscape(ticket), "", "")
	return resp.StatusCode
}

// A ticket is good for its user and its stream, and in no other way.
func TestForgedTickets(t *testing.T) {
	r, api := newGuardedRig(t, func(c *v1alpha1.CloudDataStream) { c.Stream.TicketLifetime.Duration = never })
	r.attack("changed", func(t *testing.T) {
		ticket := r.ticket(t, "mallory", honestPath)
		if code := r.use(t, honestPath, ticket); code != http.StatusOK {
			t.Fatalf("as it is: %d", code)
		}
		for i := range ticket {
			forged := []byte(ticket)
			forged[i] ^= 1
			if code := r.use(t, honestPath, string(forged)); code != http.StatusUnauthorized {
				t.Errorf("byte %d changed: %d", i, code)
			}
		}
		for _, forged := range []string{ticket[:len(ticket)-1], ticket + "A", ticket + "=", "." + ticket, ticket + "." + ticket, strings.ReplaceAll(ticket, ".", ""), strings.Repeat("A", 10_000)} {
			if code := r.use(t, honestPath, forged); code != http.StatusUnauthorized {
				t.Errorf("%.20s…: %d", forged, code)
			}
		}
	})
	r.attack("on another stream", func(t *testing.T) {
		if code := r.use(t, decoyPath, r.ticket(t, "mallory", honestPath)); code != http.StatusUnauthorized {
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
	r.attack("after the user lost the right", func(t *testing.T) {
		ticket := r.ticket(t, "lost", honestPath)
		api.deny("lost")
		eventually(t, "its end", func() bool { return r.use(t, honestPath, ticket) == http.StatusForbidden }) // a yes is remembered for a while
	})
}

// A ticket is good for its time.
func TestExpiredTickets(t *testing.T) {
	r, _ := newGuardedRig(t, func(c *v1alpha1.CloudDataStream) { c.Stream.TicketLifetime.Duration = time.Second })
	r.attack("replayed", func(t *testing.T) {
		ticket := r.ticket(t, "mallory", honestPath)
		eventually(t, "its end", func() bool { return r.use(t, honestPath, ticket) == http.StatusUnauthorized })
	})
}

// Floods of credentials are answered with when to come again, cost the API server little, and others their right to nothing.
func TestFloodsOfCredentials(t *testing.T) {
	const ticketsPerSecond = 1
	r, api := newGuardedRig(t, func(c *v1alpha1.CloudDataStream) { c.Limits.CallsPerSecond = ticketsPerSecond })
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
	for name, c := range map[string]struct {
		atOnce, perSecond int // what is taken at most: of questions, half of what there is in advance is left to others
		request           func(i int) (method, path, token string)
	}{
		"bad tokens": {100, 50, func(i int) (string, string, string) { return http.MethodGet, honestPath, fmt.Sprint("guess-", i) }},
		"new rules": {200, 50, func(i int) (string, string, string) {
			return http.MethodGet, fmt.Sprintf("/node/%s/rule-%d/camera", honestNode, i), tokenOf("mallory")
		}},
		"tickets": {5 * ticketsPerSecond, ticketsPerSecond, func(int) (string, string, string) {
			return http.MethodPost, honestPath + "/ticket", tokenOf("mallory")
		}},
	} {
		r.raid(name, func(t *testing.T) {
			before, began := asked(), time.Now()
			refused := flood(t, n, c.request)
			if most := mostAtRate(c.atOnce, c.perSecond, began); n-refused > most {
				t.Errorf("%d are taken, want at most %d", n-refused, most)
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
