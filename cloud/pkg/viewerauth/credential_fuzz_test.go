// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
)

const fuzzToken = "the-token-of-eve"

// eve is an API server that knows one token, and whose user may watch and nothing else.
type eve struct{}

func (eve) Authenticate(_ context.Context, token string) (*User, error) {
	if token != fuzzToken {
		return nil, errUnauthenticated
	}
	return &User{Username: "eve"}, nil
}

func (eve) Authorize(_ context.Context, s authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	return s.User == "eve" && s.ResourceAttributes != nil && s.ResourceAttributes.Subresource == "stream", nil
}

// fuzzGuard is a guard whose key is the same in every process of a fuzzer.
func fuzzGuard(tb testing.TB) *Guard {
	tb.Helper()
	g, err := New(Config{
		Reviewer: eve{}, TicketLifetime: time.Minute, RecheckInterval: time.Minute, TicketsPerSecond: 1 << 20, TicketBurst: 1 << 20,
	})
	if err != nil {
		tb.Fatal(err)
	}
	g.sealer = sealer{make([]byte, minKey)}
	return g
}

// FuzzCredential shows credentials in every way there is. Who gets through has shown one of two genuine ones as it is to be shown, and what is
// behind the guard sees neither.
func FuzzCredential(f *testing.F) {
	g := fuzzGuard(f)
	claim := claims{
		Use: useTicket, Stream: "edge-1/yard/gate/camera", User: User{Username: "eve"}, Expires: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	genuine, err := g.sealer.seal(claim)
	if err != nil {
		f.Fatal(err)
	}
	claim.Use = useCookie
	cookie, err := g.sealer.seal(claim)
	if err != nil {
		f.Fatal(err)
	}
	encoded := base64.RawURLEncoding.EncodeToString([]byte(fuzzToken))
	protocol := bearerProtocol + encoded
	f.Add("Bearer "+fuzzToken, "", "", "")
	f.Add("bearer  "+fuzzToken+" ", "mse.datastream.kubeedge.io", "", "format=ts")
	f.Add("Basic "+fuzzToken, protocol, cookieName+"="+cookie, "ticket="+genuine)
	f.Add("", "mse.datastream.kubeedge.io, "+protocol, "", "")
	f.Add("", protocol+"=", "", "")
	f.Add("", "", cookieName+"="+cookie, "ticket="+cookie)
	f.Add("", "", cookieName+"="+genuine+"; "+cookieName+"="+cookie, "ticket=x&ticket="+genuine)
	f.Add("", "", "", "format=mp4&ticket="+genuine+"&x=%zz;ticket="+genuine)
	f.Add("", "", "", "%74icket="+genuine)

	var seen *http.Request
	next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r })
	var door http.Handler
	times := 0
	f.Fuzz(func(t *testing.T, authorization, protocols, cookies, query string) {
		if strings.ContainsAny(authorization+protocols+cookies, "\r\n\x00") {
			t.Skip("net/http lets no such header in")
		}
		if times++; times%100 == 1 { // nobody may show one guard unknown tokens too often
			door = fuzzGuard(t).Wrap(next)
		}
		r := httptest.NewRequest(http.MethodGet, camera, nil)
		r.URL.RawQuery = query
		r.RequestURI = r.URL.RequestURI()
		for name, value := range map[string]string{"Authorization": authorization, protocolHeader: protocols, "Cookie": cookies} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		seen = nil
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if seen == nil {
			if w.Code != http.StatusUnauthorized {
				t.Errorf("answered with %d", w.Code)
			}
			return
		}
		plain := r.URL.Query()[ticketParameter]
		if !strings.Contains(authorization, fuzzToken) && !strings.Contains(protocols, encoded) && !strings.Contains(cookies, cookie) &&
			(len(plain) == 0 || plain[0] != genuine) {
			t.Errorf("%q, %q, %q, %q opens the door", authorization, protocols, cookies, query)
		}
		var behind bytes.Buffer
		_ = seen.Header.Write(&behind)
		behind.WriteString(seen.RequestURI + " " + seen.URL.String())
		for what, secret := range map[string]string{"token": fuzzToken, "token in base64url": encoded, "ticket": genuine, "cookie": cookie} {
			if strings.Contains(behind.String(), secret) && !strings.Contains(withoutTicket(r), secret) {
				t.Errorf("the %s is behind the door: %s", what, behind.String())
			}
		}
	})
}

// withoutTicket is what of the query of r holds no credential: who writes one into another parameter has told everybody.
func withoutTicket(r *http.Request) string {
	query := r.URL.Query()
	query.Del(ticketParameter)
	return query.Encode()
}

// FuzzTicketRequest asks for tickets with whatever body. Nobody gets one for more than its rights, or without asking.
func FuzzTicketRequest(f *testing.F) {
	for _, body := range []string{
		"", "{}", `{"control":false}`, `{"control":true}`, `{"Control":true}`, `{"control":"true"}`, `{"control":true}{"control":false}`, "null", "[]",
		`{"user":"root"}`, strings.Repeat(" ", maxTicketBody) + `{"control":true}`,
	} {
		f.Add([]byte(body))
	}
	g := fuzzGuard(f)
	door := g.Wrap(http.NotFoundHandler())
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, camera+ticketSuffix, bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+fuzzToken)
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			if w.Code != http.StatusBadRequest && w.Code != http.StatusForbidden && w.Code != http.StatusRequestEntityTooLarge || w.Body.Len() > 8<<10 {
				t.Errorf("%q: %d with %d bytes", body, w.Code, w.Body.Len())
			}
			return
		}
		var answer ticketAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		c, err := g.sealer.open(answer.Ticket, useTicket, time.Now())
		if err != nil || c.Control || c.User.Username != "eve" || c.Stream != "edge-1/yard/gate/camera" {
			t.Errorf("%q gives %+v, %v", body, c, err)
		}
	})
}
