// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// The side of a VideoSession that its Session feeds.

var _ output.Stream = (*VideoSession)(nil)

// connect makes s the session of this stream, unless one of a newer epoch is there. The older one is ended.
func (v *VideoSession) connect(s *Session) error {
	v.mu.Lock()
	if v.removed {
		v.mu.Unlock()
		return errRemoved
	}
	if uid := v.entry.RuleUID; uid != "" && s.hello.RuleUID != uid {
		v.mu.Unlock()
		return fmt.Errorf("the node's assignment is outdated: it serves an older rule of this name")
	}
	old := v.session
	if old != nil && old.hello.Epoch >= s.hello.Epoch {
		v.mu.Unlock()
		return errFenced
	}
	v.tally.connected(old != nil)
	v.session = s
	v.source = tunnel.State{State: tunnel.Idle}
	v.resumed = true
	v.tell()
	v.notify()
	v.mu.Unlock()
	if old != nil {
		old.end(tunnel.CloseFenced, errFenced.Error())
	}
	return nil
}

// disconnect takes s away. Outputs stay: their viewers wait for the next session.
func (v *VideoSession) disconnect(s *Session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.session == s {
		v.session = nil
		v.notify()
	}
}

// setState takes what the source says of itself.
func (v *VideoSession) setState(s *Session, m *tunnel.State) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m.Reason, m.Message = sentence(m.Reason, maxReason), sentence(m.Message, maxSentence)
	if v.session != s || v.source == *m {
		return
	}
	if v.source.State != m.State || v.source.Reason != m.Reason {
		if m.State == tunnel.Failed {
			v.tally.failed(m.Reason)
		}
		v.mu.later(func() {
			klog.InfoS("Stream state", "stream", v.key, "state", m.State, "reason", m.Reason, "message", m.Message)
		})
	}
	v.source = *m
	v.notify()
}

// setTracks takes the source's tracks, before its first unit and whenever they change.
func (v *VideoSession) setTracks(s *Session, m *tunnel.Tracks) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.session != s {
		return
	}
	v.skipped = readable(m.Skipped)
	if tracksEqual(v.tracks, m.Tracks) {
		return
	}
	v.tracks = m.Tracks
	v.timeline.SetTracks(v.tracks)
	v.gop.Reset()
	v.account()
	v.flowing = false
	for format, a := range v.outputs {
		if err := a.Open(v.tracks); err != nil {
			v.fail(format, a, fmt.Errorf("%w: %s: %w", errCannotCarry, format, err))
		}
	}
	v.notify()
}

// write takes the next access unit. An error means that the peer does not follow the protocol.
func (v *VideoSession) write(s *Session, u *media.AccessUnit, now time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.session != s {
		return errFenced
	}
	if v.tracks == nil {
		return fmt.Errorf("%w: access unit before its tracks", tunnel.ErrMalformed)
	}
	track := media.Find(v.tracks, u.Track)
	if track == nil {
		return fmt.Errorf("%w: access unit of track %d, which was not announced", tunnel.ErrMalformed, u.Track)
	}
	if err := media.ValidatePayload(track, u.Payload); err != nil {
		return fmt.Errorf("%w: access unit of track %d: %w", tunnel.ErrMalformed, u.Track, err)
	}
	if v.action == tunnel.Stop {
		v.metrics.dropStopped.Of(track.Kind).Inc()
		return nil // was under way when the edge was told
	}
	if u.Discontinuity {
		v.flowing = false
		v.timeline.Restart()
	} else if v.sequence >= u.Sequence {
		v.metrics.dropDuplicate.Of(track.Kind).Inc()
		return nil // sent again after a reconnection
	}
	gap := u.Sequence != v.sequence+1
	if gap && v.flowing {
		v.tally.gap()
	}
	if v.resumed {
		// Within a connection the edge sees to it that a gap never lacks a reference; over two of them it may not.
		v.flowing = v.flowing && !gap
		v.resumed = false
	}
	v.missing = v.missing || gap
	v.sequence = u.Sequence
	lead := media.Lead(v.tracks).ID
	resumes := !v.flowing
	if resumes {
		if u.Track != lead || !u.RandomAccess {
			v.metrics.dropBroken.Of(track.Kind).Inc()
			return nil
		}
		v.flowing, v.traceparent = true, ""
		v.notify()
	}
	mapped, err := v.timeline.Map(u, now)
	if err != nil {
		return fmt.Errorf("%w: %w", tunnel.ErrMalformed, err)
	}
	// From here on it is about what outputs get, not about the source's clock.
	mapped.Discontinuity = false
	if u.Track == lead {
		mapped.Discontinuity = u.RandomAccess && (resumes || v.missing) && !v.lastUnit.IsZero()
		v.missing = false
	}
	if now.Sub(v.lastUnit) >= stallTime {
		v.notify()
	}
	v.lastUnit = now
	if resumes {
		v.tally.broken()
	}
	v.tally.received(track.Kind, u, u.Track == lead, now)
	cached := len(v.gop.Units()) > 0
	v.gop.MaxBytes = min(v.cfg.gopBytes, v.cfg.memory.Free())
	if v.gop.Push(mapped, lead); cached && len(v.gop.Units()) == 0 {
		v.metrics.overflows.Inc()
	}
	v.account()
	for format, a := range v.outputs {
		if err := a.Write(mapped); err != nil {
			v.fail(format, a, err)
		}
	}
	return nil
}

// fail ends an output that cannot go on; the others do. v.mu is held.
func (v *VideoSession) fail(format string, a *attached, err error) {
	v.metrics.outputFailures.WithLabelValues(format).Inc()
	v.mu.later(func() { klog.ErrorS(err, "Output ended", "stream", v.key, "output", format) })
	a.err = err
	a.Close()
	delete(v.outputs, format)
}

func tracksEqual(a, b []media.Track) bool {
	return slices.EqualFunc(a, b, func(x, y media.Track) bool {
		return x.ID == y.ID && x.Kind == y.Kind && x.Codec == y.Codec && x.ClockRate == y.ClockRate && x.Channels == y.Channels &&
			bytes.Equal(x.VPS, y.VPS) && bytes.Equal(x.SPS, y.SPS) && bytes.Equal(x.PPS, y.PPS) &&
			bytes.Equal(x.Config, y.Config) && x.Format == y.Format
	})
}

// Bounds of what an edge says to people, in bytes: what is longer than a sentence or two is no message.
const (
	maxReason   = 64
	maxSentence = 512
)

// sentence is a text of an edge as people are shown it, in a terminal too: at most n bytes, cut at a character, and one line without
// control characters. A node that means harm could otherwise write lines of its own into what kubectl streams doctor says.
func sentence(text string, n int) string {
	if len(text) > n {
		text = strings.ToValidUTF8(text[:n], "")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// readable is the same for tracks that the edge leaves out.
func readable(skipped []tunnel.SkippedTrack) []tunnel.SkippedTrack {
	var out []tunnel.SkippedTrack
	for _, t := range skipped[:min(len(skipped), media.MaxTracks)] {
		out = append(out, tunnel.SkippedTrack{Codec: sentence(t.Codec, maxReason), Reason: sentence(t.Reason, maxSentence)})
	}
	return out
}
