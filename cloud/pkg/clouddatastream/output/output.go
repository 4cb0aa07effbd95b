// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package output is the boundary between a stream and the ways to read it. An output takes the
// access units of one VideoSession; it is also the hook for whoever wants to record, decode or
// forward streams elsewhere.
package output

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/kubeedge/datastream/cloud/pkg/limit"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Output takes one stream. Its VideoSession calls Open, Write and Close one at a time, under its
// lock: none of them may block or write to a socket.
type Output interface {
	// Open begins the stream, and begins it anew whenever its tracks change. A random access point follows. An
	// error means that this output cannot carry these tracks at all; single tracks are left out silently.
	Open(tracks []media.Track) error
	// Write takes the next access unit in decoding order. The unit is shared: it must not be changed.
	Write(u *media.AccessUnit) error
	// Close ends the output and lets its viewers go. Write is not called any more.
	Close()
}

// Viewable is an output that viewers read over HTTP. ServeHTTP returns when the viewer is gone. The connection has deadlines, for
// answers that end; who streams hijacks it or clears them (http.ResponseController).
type Viewable interface {
	Output
	http.Handler
}

// Stream is what an output may ask of the stream that it belongs to.
type Stream interface {
	Key() tunnel.StreamKey
	// Status returns what the stream does, and a channel that is closed when that changes.
	Status() (Status, <-chan struct{})
}

// Status is what a stream does, for people and players.
type Status struct {
	// State is a tunnel.StreamState, or "away" where no tunnel is connected.
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Tracks are those of the source; Skipped are those that could not be carried.
	Tracks  []TrackInfo           `json:"tracks,omitempty"`
	Skipped []tunnel.SkippedTrack `json:"skipped,omitempty"`
	Viewers int                   `json:"viewers"`
	// LastUnit is when the cloud last received an access unit.
	LastUnit time.Time `json:"lastUnit,omitzero"`
}

// TrackInfo describes a track to people.
type TrackInfo struct {
	Kind   media.Kind  `json:"kind"`
	Codec  media.Codec `json:"codec"`
	Width  int         `json:"width,omitempty"`
	Height int         `json:"height,omitempty"`
}

// Config is what every output of every stream is made with.
type Config struct {
	// MaxBytes bounds what an output keeps for its viewers.
	MaxBytes int
	// MaxLag is how far behind a viewer may be before it jumps to the newest random access point.
	MaxLag time.Duration
	// WriteTimeout is how long one write to a viewer may be stuck before it is closed.
	WriteTimeout time.Duration
	// Memory is that of all streams; an output keeps no more than is free of it. Nil: no bound.
	Memory *limit.Memory
	// CheckOrigin says whether the page that a WebSocket comes from may have it. Nil: if it is of the same origin.
	CheckOrigin func(*http.Request) bool
	// Metrics counts what viewers get; shared by all outputs.
	Metrics *Metrics
}

// Factory makes an output for a stream.
type Factory func(Stream, Config) Output

// Registry finds outputs by their name, the value of ?format=.
type Registry map[string]Factory

// Names returns the names in order.
func (r Registry) Names() []string {
	names := make([]string, 0, len(r))
	for name := range r {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare)
	return names
}

// ErrUnknownFormat is what Find returns for a name that is not in the registry.
var ErrUnknownFormat = errors.New("unknown format")

// Find returns the factory of that name; the error lists the names that there are.
func (r Registry) Find(name string) (Factory, error) {
	f, ok := r[name]
	if !ok {
		return nil, fmt.Errorf("%w %.32q, want one of %q", ErrUnknownFormat, name, r.Names())
	}
	return f, nil
}
