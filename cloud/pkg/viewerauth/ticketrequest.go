// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const maxTicketBody = 1 << 10

// ticketRequest is the body of POST …/ticket; it may be missing.
type ticketRequest struct {
	// Control asks for a ticket that lets its holder also control the stream.
	Control bool `json:"control"`
}

// ticketAnswer is the answer to it.
type ticketAnswer struct {
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires"`
}

// serveTicket answers somebody who may watch the stream with a ticket for it.
func (g *Guard) serveTicket(w http.ResponseWriter, r *http.Request, a *Access) {
	if _, ok := a.credential.(sealed); ok {
		refuseTicket(w, http.StatusForbidden, "tickets and cookies give no tickets: ask with the credentials that gave this one")
		return
	}
	if wait := g.tickets.Take(a.user.Username, time.Now()); wait > 0 {
		const why = "too many tickets for one user"
		a.logRefusal(r, why)
		g.refuseRate(w, why, int(wait/time.Second)+1)
		return
	}
	var body ticketRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxTicketBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil && !errors.Is(err, io.EOF) {
		code := http.StatusBadRequest
		if large := new(http.MaxBytesError); errors.As(err, &large) {
			code = http.StatusRequestEntityTooLarge
		}
		refuseTicket(w, code, fmt.Sprintf(`decoding the body: %v; want {"control": true}, or nothing`, err))
		return
	}
	if body.Control && !g.may(w, r, a, target{action: control, stream: a.Stream}) {
		return
	}
	c := claims{
		Use: useTicket, Stream: a.Stream.String(), User: *a.user, Control: body.Control,
		Expires: time.Now().Add(g.cfg.TicketLifetime).UTC().Truncate(time.Second),
	}
	value, err := g.sealer.seal(c)
	if err != nil {
		refuseTicket(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(ticketAnswer{value, c.Expires}) // the caller may be gone
}
