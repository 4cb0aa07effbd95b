// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/congestion"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// pull runs the source whenever it is wanted, over and over, until ctx ends.
func (s *stream) pull(ctx context.Context) {
	retry := backoff{min: s.config.Source.RetryMin.Duration, max: s.config.Source.RetryMax.Duration}
	for ctx.Err() == nil {
		first, run := s.begin(ctx)
		if first == nil {
			select {
			case <-ctx.Done():
			case <-s.wake:
			}
			continue
		}
		last, err := s.follow(run, first)
		if run.Err() != nil {
			first.started(nil)
		} else {
			first.started(err)
		}
		if run.Err() != nil || s.fallBack(last, err) { // stopped, another target, or not the main stream
			retry.reset()
			continue
		}
		last.failed(err)
		if last.delivered {
			retry.reset()
		}
		if woken, _ := wait(ctx, retry.next(), s.wake, nil); woken {
			retry.reset()
		} else if ctx.Err() == nil {
			s.metrics.Reconnects.Inc()
		}
	}
}

// session is one run of a stream's source and the Sink of it. What still comes in after its end is ignored.
type session struct {
	*stream
	rawURL    string
	spec      source.Spec
	permitted bool // it has the credentials that it needs
	begun     time.Time
	delivered bool
	starting  trace.Span              // nil for a session that takes another one's place
	refuse    context.CancelCauseFunc // ends its run

	// choice is which of the target's streams it is, choosable whether there are two.
	choice    congestion.Choice
	choosable bool
	// described is what a session that is coming says of its tracks; took is closed when it has become the present one.
	described tunnel.Tracks
	took      chan struct{}
}

// begin makes a session and the context that ends it, or returns nil if the source is not wanted.
func (s *stream) begin(ctx context.Context) (*session, context.Context) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.action == tunnel.Stop {
		return nil, nil
	}
	if s.abort != nil {
		s.abort()
	}
	ctx, s.abort = context.WithCancel(ctx)
	s.newClock = true
	s.present, s.coming = s.newSession(s.first(time.Now())), nil
	ctx, s.present.starting = s.tracer.Begin(ctx, s.traceparent, "start camera", trace.WithAttributes(attribute.String("stream", s.key.String())))
	s.traceparent = "" // a camera that fails for days does not make one trace of it
	return s.present, ctx
}

// started ends the trace of the session's start: it delivers, or it has ended, and with it why.
func (s *session) started(err error) {
	if s.starting == nil || !s.starting.IsRecording() {
		return
	}
	if err != nil {
		st := stateOf(err)
		s.starting.SetStatus(codes.Error, st.Reason+": "+st.Message)
	}
	s.starting.End()
}

// newSession makes a session of one of the target's streams. The mutex is held.
func (s *stream) newSession(c congestion.Choice) *session {
	n := &session{
		stream: s, begun: time.Now(), rawURL: s.target.URL, spec: s.sourceSpec(), choice: c, choosable: s.sub != nil && s.sub.url != "", took: make(chan struct{}),
	}
	if c == congestion.Sub {
		n.rawURL = s.sub.url
	}
	n.spec.Credentials, n.permitted = s.credentialsFor(n.rawURL)
	return n
}

func (s *stream) sourceSpec() source.Spec {
	return source.Spec{
		Properties: s.target.Properties, StallTimeout: s.config.Source.StallTimeout.Duration, MaxPayload: tunnel.DefaultMaxPayload,
	}
}

func (s *session) run(ctx context.Context) error {
	if !s.permitted {
		return errNoCredentials
	}
	src, err := s.sources.New(s.rawURL, s.spec)
	if err != nil {
		return err
	}
	s.metrics.Sessions.Inc()
	defer s.metrics.Sessions.Dec()
	ctx, s.refuse = context.WithCancelCause(ctx)
	defer s.refuse(nil)
	err = src.Run(ctx, s)
	if refused := (*source.Error)(nil); errors.As(context.Cause(ctx), &refused) {
		return refused
	}
	return err
}

// errTracks is why a session is ended whose tracks no message has room for: the tunnel would fail with each try to send them.
var errTracks = &source.Error{
	Reason: source.NoSupportedTracks, Message: "The parameter sets of the source's tracks are too long to be sent.",
}

// stateOf is the state of a source that has ended with err.
func stateOf(err error) tunnel.State {
	st := tunnel.State{State: tunnel.Failed, Reason: source.Unknown, Message: "The source ended the stream."}
	var known *source.Error
	if errors.As(err, &known) {
		st.Reason, st.Message = known.Reason, known.Message
	}
	return st
}

// failed takes note that the session has ended by itself.
func (s *session) failed(err error) {
	st := stateOf(err)
	s.metrics.SourceErrors.WithLabelValues(st.Reason).Inc()

	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s != s.present {
		return
	}
	if s.source != st {
		klog.InfoS("Source failed, it is tried again", "stream", s.key, "reason", st.Reason, "err", err)
	}
	s.source = st
	s.gop.Reset()
	s.report(false)
	s.flush()
}

// Tracks implements source.Sink.
func (s *session) Tracks(tracks []media.Track, skipped []tunnel.SkippedTrack) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.described = tunnel.Tracks{Tracks: tracks, Skipped: skipped}
	if _, err := tunnel.EncodeMessage(&s.described); err != nil {
		s.described = tunnel.Tracks{}
		s.refuse(errTracks)
	}
	if s == s.present {
		s.describe(s.described)
	}
}

// describe makes t what the units to come are of. The mutex is held.
func (s *stream) describe(t tunnel.Tracks) {
	s.tracks, s.lead, s.announced = t, media.Lead(t.Tracks), false
}

// Unit implements source.Sink.
func (s *session) Unit(u *media.AccessUnit) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s == s.coming {
		s.takeOver(s, u)
	}
	if s != s.present || s.lead == nil {
		return
	}
	if !s.delivered {
		s.delivered = true
		s.metrics.Start.Observe(time.Since(s.begun).Seconds())
		s.started(nil)
	}
	s.offered(u)
	s.metrics.received(s.kind(u), len(u.Payload))
	s.sequence++
	u.Sequence = s.sequence
	if s.newClock {
		s.newClock = false
		s.clock, s.clockStart = s.clock+1, u.Sequence
	}
	s.gop.Push(u, s.lead.ID)
	if s.source.State != tunnel.Streaming {
		klog.InfoS("Source delivers", "stream", s.key, "tracks", len(s.tracks.Tracks), "skipped", len(s.tracks.Skipped))
		s.source = s.streaming(s.choice)
		if s.sending() {
			s.announce() // who hears that it streams also knows what
		}
		s.report(false)
	}
	if s.sending() {
		s.send(u)
	}
	s.flush()
}

// Lost implements source.Sink.
func (s *session) Lost(kind media.Kind, cause string) { s.metrics.dropped(cause, kind) }
