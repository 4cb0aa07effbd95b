// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/congestion"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const (
	// substreamProperty names a second URL of the same picture at a lower bitrate.
	substreamProperty = "substreamURL"

	// reasonCongested and reasonSubstream are why a stream that is streaming is not all that it could be.
	reasonCongested = "Congested"
	reasonSubstream = "SubstreamUnusable"

	// lookInterval is how often it is asked which stream is wanted.
	lookInterval = 250 * time.Millisecond
	// switchTimeout is how long the other stream may take until its first picture. Cameras have up to 10 s between key frames.
	switchTimeout = 12 * time.Second
	// relearn is how often the path's rate is forgotten while the substream is on. A stream that does not fill the path is paced by the
	// estimate, and measures then what it is paced at.
	relearn = 5 * time.Second
	// queueFree is below which delay the path shows no queue: where it does, what was measured is right.
	queueFree = 50 * time.Millisecond
	// outage is how long nothing may get through, beyond two round trips, without the path counting as cut off: a smaller stream does
	// not help there.
	outage = 500 * time.Millisecond
)

// errNoPicture is why a switch came to nothing.
var errNoPicture = &source.Error{Reason: source.NoPicture, Message: "No picture came in time."}

// substream is the choice between the two streams of a target.
type substream struct {
	url      string
	selector congestion.Selector
	// forgotten is when what was known of the path's rate was last forgotten.
	forgotten time.Time
	// problem is why the substream cannot be used, for people. told: the log has it that this switch came to nothing.
	problem string
	told    [2]bool
}

// newSubstream makes the choice that the target offers; nil is none. A substream that cannot be used is a blemish, not an error.
func (s *stream) newSubstream() *substream {
	raw := substreamURL(&s.target)
	if raw == "" || !s.config.Congestion.Enable {
		return nil
	}
	sub := &substream{url: raw, selector: congestion.Selector{
		CalmMin: s.config.Substream.CalmMin.Duration, CalmMax: s.config.Substream.CalmMax.Duration,
	}}
	if _, err := s.sources.New(raw, s.sourceSpec()); err != nil {
		sub.url, sub.problem = "", stateOf(err).Message
		klog.InfoS("Substream cannot be used, the main stream goes on without", "stream", s.key, "err", err)
	}
	return sub
}

// substreamURL is the second URL of a target, empty if it has none. With the scheme and the host of the first one, it gets that one's user
// if it names none.
func substreamURL(t *assignment.Target) string {
	raw := t.Properties[substreamProperty]
	sub, err := url.Parse(raw)
	if err != nil || raw == "" || sub.User != nil {
		return raw
	}
	first, err := url.Parse(t.URL)
	if err != nil || first.User == nil || !sameHost(first, sub) {
		return raw
	}
	sub.User = first.User
	return sub.String()
}

// sameHost says whether two sources are of one device, read the same way.
func sameHost(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname())
}

// running is a session that runs.
type running struct {
	*session
	cancel context.CancelFunc
	ended  chan error
}

// follow runs a session, and lets another one take its place whenever the other stream is wanted. When that which is on has
// ended it returns it, and why it has.
func (s *stream) follow(ctx context.Context, first *session) (*session, error) {
	if !first.choosable {
		return first, first.run(ctx)
	}
	var joined sync.WaitGroup
	defer joined.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := func(session *session) *running {
		ctx, cancel := context.WithCancel(ctx)
		r := &running{session: session, cancel: cancel, ended: make(chan error, 1)}
		joined.Go(func() { r.ended <- session.run(ctx) })
		return r
	}
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	late := time.NewTimer(switchTimeout)
	defer late.Stop()

	on, coming := run(first), (*running)(nil)
	for {
		var took <-chan struct{}
		var ended <-chan error
		if coming != nil {
			took, ended = coming.took, coming.ended
		}
		select {
		case err := <-on.ended:
			if coming == nil || s.withdraw(coming.session) {
				return on.session, err
			}
			on, coming = coming, nil // it is there by now
		case <-took:
			on.cancel()
			on, coming = coming, nil
		case err := <-ended:
			coming.cancel()
			if !s.giveUp(coming.session, err) {
				return coming.session, err
			}
			coming = nil
		case <-late.C:
			if coming != nil && s.giveUp(coming.session, errNoPicture) {
				coming.cancel()
				coming = nil
			}
		case <-look.C:
			if coming != nil {
				break
			}
			if other := s.prepare(time.Now()); other != nil {
				late.Reset(switchTimeout)
				coming = run(other)
			}
		}
	}
}

// prepare makes the session that is to take the present one's place, or returns nil if that is as it should be.
func (s *stream) prepare(now time.Time) *session {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.present == nil || s.sub == nil {
		return nil
	}
	want := s.want(now)
	if want == s.present.choice {
		return nil
	}
	s.expect(want)
	s.coming = s.newSession(want)
	return s.coming
}

// withdraw lets what was coming not come any more. It returns false if it is there by now.
func (s *stream) withdraw(coming *session) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.coming != coming {
		return false
	}
	s.coming = nil
	return true
}

// giveUp is withdraw for want of a picture.
func (s *stream) giveUp(coming *session, err error) bool {
	if !s.withdraw(coming) {
		return false
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.present != nil { // not stopped in between
		s.switchFailed(coming.choice, err)
	}
	return true
}

// fallBack says whether the session that has ended by itself was the substream's: then the main stream is due, at once.
func (s *stream) fallBack(ended *session, err error) bool {
	if ended.choice != congestion.Sub {
		return false
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.present != ended {
		return true
	}
	s.metrics.SourceErrors.WithLabelValues(stateOf(err).Reason).Inc()
	s.metrics.Reconnects.Inc()
	s.source = tunnel.State{State: tunnel.Connecting}
	s.gop.Reset()
	s.choose(congestion.Main, time.Now())
	s.switchFailed(congestion.Sub, err)
	s.flush()
	return true
}

// The methods below are called with the mutex held.

// want is the stream that should be on.
func (s *stream) want(now time.Time) congestion.Choice {
	choice := &s.sub.selector
	if s.sub.url == "" {
		return congestion.Main
	}
	if s.path == nil || !s.sending() || s.path.Silent(now) > outage+2*s.path.RTT() {
		choice.Rest(now)
		return choice.On()
	}
	if choice.On() == congestion.Sub && now.Sub(s.sub.forgotten) >= relearn && s.path.Queueing() < queueFree {
		s.sub.forgotten = now
		s.path.Forget()
	}
	return choice.Look(now, s.path.Rate(), s.path.Queueing())
}

// first is the stream to begin a run of the source with.
func (s *stream) first(now time.Time) congestion.Choice {
	if s.sub == nil {
		return congestion.Main
	}
	want := s.want(now)
	if want != s.sub.selector.On() {
		s.expect(want)
		s.choose(want, now)
	}
	return want
}

// expect prepares the path for another stream. What is known of its rate may be of long ago, and what is more than the path is known to carry would be dropped.
func (s *stream) expect(c congestion.Choice) {
	if s.path != nil && c == congestion.Main {
		s.path.Forget()
	}
}

// choose takes note that another stream is on.
func (s *stream) choose(c congestion.Choice, now time.Time) {
	rate := 0.0
	if s.path != nil {
		rate = s.path.Rate()
	}
	s.sub.forgotten = now
	s.sub.selector.Switched(now, c, rate)
	s.metrics.Switches.WithLabelValues(c.String()).Inc()
	klog.InfoS("Stream was switched", "stream", s.key, "to", c, "rate", int(rate))
}

// switchFailed takes note that a stream could not be had.
func (s *stream) switchFailed(c congestion.Choice, err error) {
	s.sub.selector.Failed(time.Now())
	s.metrics.SwitchFailures.WithLabelValues(c.String()).Inc()
	if !s.sub.told[c] {
		klog.InfoS("Stream cannot be switched, it is tried again", "stream", s.key, "to", c, "err", err)
	}
	s.sub.told[c] = true
	if c == congestion.Sub {
		s.sub.problem = stateOf(err).Message
	}
	if s.source.State == tunnel.Streaming {
		s.source = s.streaming(s.present.choice)
	}
	s.report(false)
	s.flush()
}

// takeOver makes c the session whose units count, if u is a picture to begin with. What of the other one waits in the queue may still be sent,
// as far as that does not keep the new one waiting (lateness.head).
func (s *stream) takeOver(c *session, u *media.AccessUnit) {
	lead := media.Lead(c.described.Tracks)
	if lead == nil || u.Track != lead.ID || !u.RandomAccess {
		return
	}
	s.present, s.coming = c, nil
	s.newClock = true
	s.gop.Reset()
	s.describe(c.described)
	s.missVideo()
	s.choose(c.choice, time.Now())
	s.sub.told[c.choice] = false
	if c.choice == congestion.Sub {
		s.sub.problem = ""
	}
	if s.sending() {
		s.announce()
	}
	s.source = s.streaming(c.choice)
	s.report(false)
	close(c.took)
}

// streaming is the state of a source that delivers.
func (s *stream) streaming(c congestion.Choice) tunnel.State {
	st := tunnel.State{State: tunnel.Streaming}
	switch {
	case c == congestion.Sub:
		st.Reason, st.Message = reasonCongested, "The path is too slow for the main stream: the substream is on."
	case s.sub != nil && s.sub.problem != "":
		st.Reason, st.Message = reasonSubstream, "The substream (property "+substreamProperty+") cannot be used: "+s.sub.problem
	}
	return st
}

// dropped takes note of a unit that the queue has dropped.
func (s *stream) dropped(cause string, u *media.AccessUnit) {
	s.metrics.dropped(cause, s.kind(u))
	if s.sub != nil && cause != dropAudio && cause != dropPassed {
		s.sub.selector.Dropped(time.Now())
	}
}

// offered takes note of a unit of the present session.
func (s *stream) offered(u *media.AccessUnit) {
	if s.sub != nil {
		s.sub.selector.Offered(time.Now(), len(u.Payload))
	}
}
