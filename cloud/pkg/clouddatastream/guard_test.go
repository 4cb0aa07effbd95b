// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

// nobody is an API server that knows everybody and allows nothing.
type nobody struct{}

func (nobody) Authenticate(context.Context, string) (*viewerauth.User, error) {
	return &viewerauth.User{Username: "anybody"}, nil
}

func (nobody) Authorize(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	return false, nil
}

// open are the routes that need no right.
var open = []string{"/healthz", "/readyz", "/assets/{path:*}"}

// Every route is one that the guard knows, and shut unless it is named above.
func TestEveryRouteIsGuarded(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := newStreamServer(v1alpha1.NewDefaultCloudDataStream(), newMetrics(reg), reg)
	if _, _, err := s.door(); err == nil {
		t.Fatal("without an API server to ask, the door is open")
	}
	s.reviewer = nobody{}
	door, _, err := s.door()
	if err != nil {
		t.Fatal(err)
	}
	parameter := regexp.MustCompile(`\{[^}]*\}`)
	for _, ws := range s.container().RegisteredWebServices() {
		for _, route := range ws.Routes() {
			for token, want := range map[string]int{"": http.StatusUnauthorized, "Bearer x": http.StatusForbidden} {
				if route.Path == "/streams" && token != "" {
					want = http.StatusOK // of which nothing is shown
				}
				r := httptest.NewRequest(route.Method, parameter.ReplaceAllString(route.Path, "x"), nil)
				r.Header.Set("Authorization", token)
				w := httptest.NewRecorder()
				door.ServeHTTP(w, r)
				if slices.Contains(open, route.Path) {
					if w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden || strings.Contains(w.Body.String(), "no such page") {
						t.Errorf("%s %s is shut: %d", route.Method, route.Path, w.Code)
					}
				} else if w.Code != want {
					t.Errorf("%s %s is answered with %d, want %d: is it in viewerauth's classify?", route.Method, route.Path, w.Code, want)
				}
			}
		}
	}
}

// The page's cookie crosses no network in clear where viewers have TLS, be it a proxy's.
func TestPageCookieIsSecure(t *testing.T) {
	d := newDoorway(t)
	d.server.reviewer = everybody{}
	d.server.cfg.Authentication = v1alpha1.AuthenticationKubernetes
	for forwarded, secure := range map[string]bool{"": false, "http": false, "https": true, "HTTPS, http": true, "http, https": false} {
		d.server.cfg.CertFile = ""
		door, _, err := d.server.door()
		if err != nil {
			t.Fatal(err)
		}
		for _, certificate := range []string{"", "viewers.crt"} {
			d.server.cfg.CertFile = certificate
			r := httptest.NewRequest(http.MethodGet, doorwayURL, nil)
			r.Header.Set("Accept", "text/html")
			r.Header.Set("Authorization", "Bearer x")
			r.Host = "localhost"
			r.Header.Set("X-Forwarded-Proto", forwarded)
			w := httptest.NewRecorder()
			door.ServeHTTP(w, r)
			cookies := w.Result().Cookies()
			if len(cookies) != 1 || cookies[0].Secure != (secure || certificate != "") {
				t.Errorf("%q, certificate %q: %d, %v", forwarded, certificate, w.Code, cookies)
			}
		}
	}
}
