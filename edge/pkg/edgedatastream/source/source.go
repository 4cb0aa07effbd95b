// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package source is what a camera, or anything else that a stream comes from, looks like to the edge
// module. Each protocol is a package of its own; a Registry finds it by the URL's scheme.
package source

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Source reads one stream.
type Source interface {
	// Run connects, hands over what comes in, and returns when the stream ends or cannot be had, with an error
	// that says why, best an *Error. It returns soon after ctx ends, and then nothing that it started is left.
	// It may be called again; each call is a new session whose clock begins anew.
	Run(ctx context.Context, sink Sink) error
}

// Sink takes a session's stream. It is called by one goroutine at a time and does not block.
type Sink interface {
	// Tracks describes the stream: before its first unit, and again before the first unit that needs other
	// codec parameters.
	Tracks(tracks []media.Track, skipped []tunnel.SkippedTrack)
	// Unit takes the next access unit, which the source must not touch any more. The sink numbers it.
	Unit(u *media.AccessUnit)
	// Lost is called when a unit of that kind could not be handed over, or when it shows that some could not. The cause is LostPackets, LostOversized
	// or another lower-case word; there are few of them, for they become a label of metrics.
	Lost(kind media.Kind, cause string)
}

// Causes for which units are lost on the way from the camera.
const (
	LostPackets   = "packets"
	LostOversized = "oversized"
)

// Spec is what a source is made of.
type Spec struct {
	// URL may hold credentials: print it only by Redacted.
	URL *url.URL
	// Credentials are those of the endpoint's Secret, if it has one.
	Credentials tunnel.Credentials
	// Properties are those of the endpoint. Which ones there are is up to the protocol.
	Properties map[string]string
	// StallTimeout is how long a session may deliver nothing before it fails.
	StallTimeout time.Duration
	// MaxPayload bounds an access unit's payload in bytes; greater ones are lost.
	MaxPayload int
}

// Factory makes a source. It reads nothing and connects to nothing.
type Factory func(Spec) (Source, error)

// Registry holds a Factory for each URL scheme.
type Registry map[string]Factory

// New makes the source that rawURL's scheme asks for. StallTimeout and MaxPayload of spec are filled in by the
// caller. Errors never quote the URL.
func (r Registry) New(rawURL string, spec Spec) (Source, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, &Error{Reason: InvalidEndpoint, Message: "The endpoint's URL cannot be parsed."}
	}
	factory, ok := r[strings.ToLower(u.Scheme)]
	if !ok {
		return nil, &Error{Reason: InvalidEndpoint, Message: fmt.Sprintf("This node cannot read %q URLs, only %s.",
			u.Scheme, strings.Join(slices.Sorted(maps.Keys(r)), ", "))}
	}
	spec.URL = u
	return factory(spec)
}
