// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package viewerauth decides who may watch and control streams: Kubernetes users, by what RBAC says. Its Guard stands in front of
// the router, so that no route can forget it.
//
// A viewer proves who it is by a bearer token (in the Authorization header, or as a WebSocket subprotocol), by a ticket or
// cookie that the Guard has made for one stream, or by a client certificate. The API server knows whose a token is (TokenReview) and
// what that user may do (SubjectAccessReview). Both are asked again while the viewer watches.
package viewerauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/cloud/pkg/limit"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// cookieLifetime is how long a page may be reopened, or reconnect, after it was opened with a ticket or token.
const cookieLifetime = 12 * time.Hour

// Config is how a Guard works.
type Config struct {
	// Reviewer knows the users. Nil lets everybody do everything.
	Reviewer Reviewer
	// TicketKeyFile holds the key that signs tickets and cookies, at least 32 bytes. Without one they are good until the process ends.
	TicketKeyFile string
	// TicketLifetime is the time in which a ticket's holder has to begin.
	TicketLifetime time.Duration
	// RecheckInterval is how often, at most, a viewer's rights are asked for again while it watches.
	RecheckInterval time.Duration
	// TicketsPerSecond bounds the tickets of one user, and TicketBurst those at once. Defaults 20, 100.
	TicketsPerSecond, TicketBurst int
	// Origins are those of other sites whose pages may change something, beside our own.
	Origins []string
	// Refused is called for each refusal, if it is set.
	Refused func(Reason)
}

// Reason is why somebody was refused, for metrics.
type Reason string

// Reasons of refusals.
const (
	Unauthenticated Reason = "unauthenticated" // no credentials, or bad ones
	Forbidden       Reason = "forbidden"       // no right
	ForeignOrigin   Reason = "origin"          // a page of another site
	TooOften        Reason = "rate"            // the caller overdoes it
	Crowd           Reason = "crowd"           // too many at once, of whom this one is not the worst
	Outage          Reason = "outage"          // the API server cannot be asked
)

// Guard lets requests through that are allowed.
type Guard struct {
	cfg     Config
	sealer  sealer
	reviews *reviews // nil: everybody may do everything
	tickets *limit.Rates[string]
	origins *http.CrossOriginProtection
	outages rate.Sometimes
}

// New makes a Guard. The error is that of the key file, or of an origin that is none.
func New(cfg Config) (*Guard, error) {
	s, err := newSealer(cfg.TicketKeyFile)
	if err != nil {
		return nil, err
	}
	if cfg.Refused == nil {
		cfg.Refused = func(Reason) {}
	}
	g := &Guard{
		cfg: cfg, sealer: s, origins: http.NewCrossOriginProtection(), outages: rate.Sometimes{Interval: 10 * time.Second},
		tickets: limit.NewRates[string](cmp.Or(cfg.TicketsPerSecond, 20), cmp.Or(cfg.TicketBurst, 100)),
	}
	for _, origin := range cfg.Origins {
		if err := g.origins.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("trusting an origin: %w", err)
		}
	}
	if cfg.Reviewer != nil {
		g.reviews = newReviews(cfg.Reviewer)
	}
	return g, nil
}

// Reasons are all of them.
var Reasons = [...]Reason{Unauthenticated, Forbidden, ForeignOrigin, TooOften, Crowd, Outage}

// Access is what the Guard knows about a request that it lets through.
type Access struct {
	// Stream is what the URL names; rule and path may be missing at its end. Handlers must take it from here and from nowhere
	// else: it is what the caller's right is for.
	Stream tunnel.StreamKey
	// Arrived is when the request came to the Guard.
	Arrived time.Time

	guard      *Guard
	source     limit.Source
	url        string // the path as the caller has it
	user       *User  // nil: not asked for
	credential credential
}

type accessKey struct{}

// From returns what the Guard knows about the request of ctx. It is nil for a request that has not passed a Guard.
func From(ctx context.Context) *Access {
	a, _ := ctx.Value(accessKey{}).(*Access)
	return a
}

// User names the caller, for logs. It is empty without authentication.
func (a *Access) User() string {
	if a.user == nil {
		return ""
	}
	return a.user.Username
}

// Caller is whom limits are for: the user, or without authentication the address that the caller comes from.
func (a *Access) Caller() string {
	if a.user == nil {
		return a.source.String()
	}
	return a.user.Username
}

// visibleAtOnce is how many namespaces are asked about at a time.
const visibleAtOnce = 8

// Visible returns which of the namespaces the caller may list rules of, as keys. The errors are those of the API server,
// limit.ErrShare and limit.ErrFull: what was found out so far is remembered, so that a caller who comes again gets further.
func (a *Access) Visible(ctx context.Context, namespaces []string) (map[string]bool, error) {
	visible := make(map[string]bool, len(namespaces))
	everywhere := a.user == nil
	if !everywhere {
		var err error
		if everywhere, err = a.guard.reviews.allowed(ctx, a.user, right{verb: listVerb}); err != nil {
			return nil, err
		}
	}
	var (
		mu  sync.Mutex
		ask errgroup.Group
	)
	ask.SetLimit(visibleAtOnce)
	for _, namespace := range slices.Compact(slices.Sorted(slices.Values(namespaces))) {
		if everywhere {
			visible[namespace] = true
			continue
		}
		ask.Go(func() error {
			yes, err := a.guard.reviews.allowed(ctx, a.user, right{verb: listVerb, namespace: namespace})
			mu.Lock()
			defer mu.Unlock()
			visible[namespace] = yes
			return err
		})
	}
	return visible, ask.Wait()
}

// Wrap returns next behind the Guard.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(w, r, next) })
}

func (g *Guard) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	t, known := classify(r.Method, r.URL.Path)
	if !known {
		refuseUnknown(w)
		return
	}
	if err := g.origins.Check(r); err != nil {
		g.refuseForeign(w) // some other site's page, in the browser of somebody who may
		return
	}
	a := &Access{Stream: t.stream, Arrived: time.Now(), guard: g, source: limit.SourceOf(r.RemoteAddr), url: r.URL.EscapedPath()}
	ctx := context.WithValue(r.Context(), accessKey{}, a)
	if t.action == public || g.reviews == nil && t.action != ticket {
		next.ServeHTTP(w, r.WithContext(ctx))
		return
	}
	if g.reviews == nil {
		refuseTicket(w, http.StatusConflict, "viewers need no tickets here: authentication is none")
		return
	}
	if !g.identify(w, r, a) || !g.may(w, r, a, t) {
		return
	}
	r = withoutCredentials(ctx, r)
	switch t.action {
	case ticket:
		g.serveTicket(w, r, a)
	case watch:
		g.watched(w, r, a, t.right(), next)
	default:
		next.ServeHTTP(w, r)
	}
}

// identify finds out who the caller is, or answers that nobody knows.
func (g *Guard) identify(w http.ResponseWriter, r *http.Request, a *Access) bool {
	var err error
	if a.credential, err = g.credential(r, a.Stream); err != nil {
		a.logRefusal(r, err.Error())
		g.refuseUnauthenticated(w, err.Error(), !errors.Is(err, noCredential))
		return false
	}
	a.user, err = a.credential.user(r.Context())
	switch {
	case errors.Is(err, errUnauthenticated):
		const why = "the API server does not know these credentials, or not any more"
		a.logRefusal(r, why)
		g.refuseUnauthenticated(w, why, true)
	case err != nil:
		a.logRefusal(r, err.Error())
		g.refuseError(w, err)
	}
	if t, ok := a.credential.(token); ok {
		t.known = true
		a.credential = t
	}
	return err == nil
}

// may says whether the caller has the right to t, or answers why it has not.
func (g *Guard) may(w http.ResponseWriter, r *http.Request, a *Access, t target) bool {
	if t.action == list {
		return true // what is not to be seen is left out
	}
	if t.action == control && a.scoped() {
		a.logRefusal(r, "the ticket is for watching only")
		g.refuseScope(w)
		return false
	}
	want := t.right()
	yes, err := g.reviews.allowed(r.Context(), a.user, want)
	switch {
	case err != nil:
		a.logRefusal(r, err.Error())
		g.refuseError(w, err)
		return false
	case !yes:
		a.logRefusal(r, "no right to "+want.verb)
		g.refuseForbidden(w, a.user.Username, want)
	}
	return yes
}

// logRefusal tells who was refused. Why holds no credentials.
func (a *Access) logRefusal(r *http.Request, why string) {
	klog.V(2).InfoS("Viewer refused", "user", a.User(), "remote", r.RemoteAddr, "path", a.url, "reason", why)
}

// scoped says whether the caller came by a ticket that is for watching only, or by a cookie of such a one.
func (a *Access) scoped() bool {
	s, ok := a.credential.(sealed)
	return ok && !s.Control
}

// refuseError answers that the API server cannot be asked, or not by this caller, or not now.
func (g *Guard) refuseError(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, limit.ErrShare):
		g.refuseRate(w, "too many credentials or rules that are new at once from you", retryAfter)
	case errors.Is(err, limit.ErrFull):
		g.cfg.Refused(Crowd)
		refuseBusy(w, "too many new viewers at once")
	default:
		g.outages.Do(func() { klog.ErrorS(err, "The API server cannot be asked about viewers") })
		g.cfg.Refused(Outage)
		refuseBusy(w, "the API server cannot be asked who you are and what you may do; cloudcore's log says why")
	}
}

// SetCookie lets the page that w is answered with do as its caller, for this stream. Who came by a certificate or cookie needs none.
func (a *Access) SetCookie(w http.ResponseWriter, secure bool) error {
	c := claims{Use: useCookie, Stream: a.Stream.String(), Control: !a.scoped(), Expires: time.Now().Add(cookieLifetime)}
	switch from := a.credential.(type) {
	case token:
	case sealed:
		if from.Use != useTicket {
			return nil
		}
	default:
		return nil
	}
	c.User = *a.user
	value, err := a.guard.sealer.seal(c)
	if err != nil {
		return fmt.Errorf("making a cookie: %w", err)
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: a.url, MaxAge: int(cookieLifetime.Seconds()),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	})
	return nil
}
