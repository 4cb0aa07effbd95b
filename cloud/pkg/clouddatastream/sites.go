// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

const (
	// maxBody bounds the body of any request; handlers that take one have narrower bounds.
	maxBody = 16 << 10
	// strictTransport has browsers use nothing but TLS with this host for a year (RFC 6797).
	strictTransport = "max-age=31536000"
	// preflightAge is how long a browser may remember what it may send from another site, in seconds.
	preflightAge = "600"
)

// sites says which pages in browsers may use the viewers' port, and tells it the browsers. It stands in front of all answers, those of the
// guard among them.
type sites struct {
	origins    []string // of other sites whose pages may
	names      []string // under which viewers may reach us, if checkNames
	checkNames bool
	strict     bool   // TLS and nothing else
	policy     string // Content-Security-Policy of what is no page
	refused    func(reason string)
}

func newSites(cfg *v1alpha1.StreamServer, refused func(reason string)) *sites {
	return &sites{
		origins: cfg.AllowedOrigins,
		names:   cfg.AllowedHosts,
		// Nothing but their name tells requests to the loopback from those that a page makes to its own host, after it has had that
		// host's name lead to the loopback (DNS rebinding).
		checkNames: cfg.Authentication == v1alpha1.AuthenticationNone && (v1alpha1.IsLoopback(cfg.Listen) || len(cfg.AllowedHosts) > 0),
		strict:     cfg.CertFile != "",
		policy:     "default-src 'none'; media-src 'self'; base-uri 'none'; form-action 'none'; " + frameAncestors(cfg.AllowedOrigins),
		refused:    refused,
	}
}

// frameAncestors is the directive of a Content-Security-Policy for whose pages may show ours in a frame.
func frameAncestors(origins []string) string {
	return strings.Join(append([]string{"frame-ancestors 'self'"}, origins...), " ")
}

func (s *sites) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, origin := w.Header(), r.Header.Get("Origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", s.policy)
		h.Set("Cross-Origin-Resource-Policy", "same-origin") // what is fetched by CORS does not mind
		if s.strict {
			h.Set("Strict-Transport-Security", strictTransport)
		}
		if len(s.origins) > 0 {
			h.Add("Vary", "Origin")
		}
		named := slices.Contains(s.origins, origin)
		if named {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "Retry-After")
		}
		switch {
		case s.checkNames && !s.knows(r.Host):
			s.refuse(w, refusedHost, "this host is not reached by that name; stream.allowedHosts names those by which it is")
		case !named && s.foreign(r):
			s.refuse(w, refusedOrigin, "a page of another site may not do this; stream.allowedOrigins names those that may (their video elements need the attribute crossorigin)")
		case named && r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "":
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", preflightAge)
			w.WriteHeader(http.StatusNoContent)
		case r.ContentLength > maxBody:
			h.Set("Connection", "close") // instead of reading it
			writeStatus(w, http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge, "no request has so large a body")
		default:
			if r.Body != http.NoBody {
				r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			}
			next.ServeHTTP(w, r)
		}
	})
}

func (s *sites) refuse(w http.ResponseWriter, reason, message string) {
	s.refused(reason)
	writeStatus(w, http.StatusForbidden, metav1.StatusReasonForbidden, message)
}

// foreign says whether a page of another site asks, other than by a link that somebody follows: that gets him a page of ours. The guard looks at those that
// change something.
func (s *sites) foreign(r *http.Request) bool {
	if websocket.IsWebSocketUpgrade(r) {
		return !s.sameOrigin(r)
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Mode") != "navigate"
	default:
		return false // our own, or no browser
	}
}

// sameOrigin says whether a WebSocket's page is ours, or there is none.
func (s *sites) sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// mayUpgrade is sameOrigin for outputs, which ask for themselves.
func (s *sites) mayUpgrade(r *http.Request) bool {
	return s.sameOrigin(r) || slices.Contains(s.origins, r.Header.Get("Origin"))
}

// knows says whether hostport names this host without anybody's help, or is one of the names. Who sends none is no browser.
func (s *sites) knows(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "" || host == "localhost" || slices.ContainsFunc(s.names, func(name string) bool { return strings.EqualFold(name, host) })
}
