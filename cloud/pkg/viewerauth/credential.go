// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kubeedge/datastream/cloud/pkg/limit"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const (
	// bearerProtocol is how browsers, which cannot set headers of a WebSocket, send a token to kube-apiserver:
	// as a subprotocol, the token in base64url.
	bearerProtocol   = "base64url.bearer.authorization.k8s.io." //nolint:gosec // no credential
	protocolHeader   = "Sec-WebSocket-Protocol"
	ticketParameter  = "ticket"
	cookieName       = "datastream"
	allAuthenticated = "system:authenticated"
	maxTokenSize     = 12 << 10 // of 16 KiB of header
)

// credential is by what a viewer proves who it is. It is asked again and again while the viewer watches.
type credential interface {
	// user returns who that is now, or errUnauthenticated.
	user(ctx context.Context) (*User, error)
}

// token is a bearer token.
type token struct {
	reviews *reviews
	value   string
	source  limit.Source // who shows it
	known   bool         // it was good before
}

func (t token) user(ctx context.Context) (*User, error) { return t.reviews.user(ctx, t) }

// certificate is a client certificate that the TLS handshake has verified.
type certificate struct{ *x509.Certificate }

// user is as kube-apiserver has it: the common name, and the organizations as groups.
func (c certificate) user(context.Context) (*User, error) {
	if c.Subject.CommonName == "" || time.Now().After(c.NotAfter) {
		return nil, errUnauthenticated
	}
	groups := append([]string(nil), c.Subject.Organization...)
	return &User{Username: c.Subject.CommonName, Groups: append(groups, allAuthenticated)}, nil
}

// sealed are the claims of a ticket or cookie. They had to be fresh only when the viewer came.
type sealed struct{ *claims }

func (s sealed) user(context.Context) (*User, error) { return &s.User, nil }

// problem is why a request has no credential, in words for who sent it.
type problem string

func (p problem) Error() string { return string(p) }

const noCredential = problem("no credentials")

// credential finds out by what the caller of r proves who it is; the errors are problems. What was said for this one request stands
// above what a browser sends with each.
func (g *Guard) credential(r *http.Request, stream tunnel.StreamKey) (credential, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, value, _ := strings.Cut(header, " ")
		if value = strings.TrimSpace(value); !strings.EqualFold(scheme, "Bearer") || value == "" || len(value) > maxTokenSize {
			return nil, problem("the Authorization header holds no bearer token")
		}
		return token{reviews: g.reviews, value: value, source: limit.SourceOf(r.RemoteAddr)}, nil
	}
	if value, ok := protocolToken(r.Header); ok {
		decoded, err := base64.RawURLEncoding.Strict().DecodeString(value)
		if err != nil || len(decoded) == 0 {
			return nil, problem("the WebSocket subprotocol " + bearerProtocol + "… holds no base64url")
		}
		return token{reviews: g.reviews, value: string(decoded), source: limit.SourceOf(r.RemoteAddr)}, nil
	}
	var refused error = noCredential
	if value := r.URL.Query().Get(ticketParameter); value != "" {
		c, err := g.open(value, useTicket, stream)
		if err == nil {
			return sealed{c}, nil
		}
		refused = problem(fmt.Sprintf("the ticket is not good: %v", err)) // a page keeps it in its URL, and goes on with its cookie
	}
	for _, cookie := range r.CookiesNamed(cookieName) {
		c, err := g.open(cookie.Value, useCookie, stream)
		if err == nil {
			return sealed{c}, nil
		}
		if errors.Is(refused, noCredential) {
			refused = problem(fmt.Sprintf("the cookie is not good: %v; open the page with a new ticket", err))
		}
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return certificate{r.TLS.PeerCertificates[0]}, nil
	}
	return nil, refused
}

func (g *Guard) open(value string, want use, stream tunnel.StreamKey) (*claims, error) {
	c, err := g.sealer.open(value, want, time.Now())
	if err == nil && c.Stream != stream.String() {
		return nil, errElsewhere
	}
	return c, err
}

func protocolToken(h http.Header) (string, bool) {
	for _, protocol := range protocols(h) {
		if value, ok := strings.CutPrefix(protocol, bearerProtocol); ok {
			return value, true
		}
	}
	return "", false
}

func protocols(h http.Header) []string {
	var all []string
	for _, line := range h.Values(protocolHeader) {
		for protocol := range strings.SplitSeq(line, ",") {
			all = append(all, strings.TrimSpace(protocol))
		}
	}
	return all
}

// withoutCredentials is r as the handlers, and so whatever they log, get to see it.
func withoutCredentials(ctx context.Context, r *http.Request) *http.Request {
	r = r.Clone(ctx)
	r.Header.Del("Authorization")
	r.Header.Del("Cookie") // there are no others of ours
	if kept := protocols(r.Header); kept != nil {
		r.Header.Del(protocolHeader)
		for _, protocol := range kept {
			if !strings.HasPrefix(protocol, bearerProtocol) {
				r.Header.Add(protocolHeader, protocol)
			}
		}
	}
	if query := r.URL.Query(); query.Has(ticketParameter) {
		query.Del(ticketParameter)
		r.URL.RawQuery = query.Encode()
		r.RequestURI = r.URL.RequestURI()
	}
	return r
}
