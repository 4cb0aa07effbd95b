// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"errors"

	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// pull runs the source whenever it is wanted, over and over, until ctx ends.
func (s *stream) pull(ctx context.Context) {
	retry := backoff{min: s.config.RetryMin.Duration, max: s.config.RetryMax.Duration}
	for ctx.Err() == nil {
		session, run := s.begin(ctx)
		if session == nil {
			select {
			case <-ctx.Done():
			case <-s.wake:
			}
			continue
		}
		err := session.run(run)
		if run.Err() != nil { // stopped, or another target
			retry.reset()
			continue
		}
		session.failed(err)
		if session.delivered {
			retry.reset()
		}
		if woken, _ := wait(ctx, retry.next(), s.wake, nil); woken {
			retry.reset()
		}
	}
}

// session is one run of a stream's source and the Sink of it. What still comes in after its end is ignored.
type session struct {
	*stream
	id        uint64
	rawURL    string
	spec      source.Spec
	delivered bool
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
	s.session++
	s.newClock = true
	return &session{stream: s, id: s.session, rawURL: s.target.URL, spec: source.Spec{
		Properties: s.target.Properties, StallTimeout: s.config.StallTimeout.Duration, MaxPayload: tunnel.DefaultMaxPayload,
	}}, ctx
}

func (s *session) run(ctx context.Context) error {
	src, err := s.sources.New(s.rawURL, s.spec)
	if err != nil {
		return err
	}
	return src.Run(ctx, s)
}

// failed takes note that the session has ended by itself.
func (s *session) failed(err error) {
	st := tunnel.State{State: tunnel.Failed, Reason: source.Unknown, Message: "The source ended the stream."}
	var known *source.Error
	if errors.As(err, &known) {
		st.Reason, st.Message = known.Reason, known.Message
	}
	s.metrics.SourceErrors.WithLabelValues(st.Reason).Inc()

	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.id != s.session {
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
	if s.id != s.session {
		return
	}
	s.tracks = tunnel.Tracks{Tracks: tracks, Skipped: skipped}
	s.lead = media.Lead(tracks)
	s.announced = false
}

// Unit implements source.Sink.
func (s *session) Unit(u *media.AccessUnit) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.id != s.session || s.lead == nil {
		return
	}
	s.delivered = true
	s.sequence++
	u.Sequence = s.sequence
	if s.newClock {
		s.newClock = false
		s.clock, s.clockStart = s.clock+1, u.Sequence
	}
	s.gop.Push(u, s.lead.ID)
	if s.source.State != tunnel.Streaming {
		klog.InfoS("Source delivers", "stream", s.key, "tracks", len(s.tracks.Tracks), "skipped", len(s.tracks.Skipped))
		s.source = tunnel.State{State: tunnel.Streaming}
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
func (s *session) Lost(reason string) { s.metrics.Drops.WithLabelValues(reason).Inc() }
