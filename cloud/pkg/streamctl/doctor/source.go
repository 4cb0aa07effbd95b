// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/media"
)

const (
	reasonStopped   = "Stopped"
	reasonPaused    = "Paused"
	reasonCongested = "Congested"
)

// now is the newest state that is known: the StreamServer's, or else that of the rule's status.
func (e *examination) now() (state v1alpha1.TargetState, reason, message string) {
	if e.state != nil {
		return v1alpha1.TargetState(e.state.State), e.state.Reason, e.state.Message
	}
	s := e.status()
	return s.State, s.Reason, s.Message
}

// command is one of ours, for this stream.
func (e *examination) command(verb string) string {
	return fmt.Sprintf("kubectl streams %s %s -n %s", verb, e.target, e.rule.Namespace)
}

// control checks what the control API was last asked for.
func (e *examination) control(context.Context) *Check {
	switch state, reason, _ := e.now(); {
	case state == "":
		return nil
	case reason == reasonStopped:
		return &Check{checkControl, Fail, reasonStopped, "somebody has stopped it; it stays so, whoever comes, until it is started", e.command("start")}
	case state == v1alpha1.TargetPaused || reason == reasonPaused:
		return &Check{checkControl, Warn, reasonPaused, "somebody has paused it: viewers see a frozen picture, if there was one", e.command("resume")}
	default:
		return pass(checkControl, "neither stopped nor paused")
	}
}

// watch is no check: it has the camera read, so that those behind it have something to look at.
func (e *examination) watch(ctx context.Context) *Check {
	if e.Probe == 0 || e.server == nil || e.state == nil {
		return nil
	}
	e.probe = startProbe(ctx, e.server, e.target.Key, e.Probe)
	if state, err := e.server.State(ctx, e.target.Key); err == nil {
		e.state = state
	}
	// The node tries again and again, so the state may just be another one.
	if e.probe.err != nil && e.probe.failure != nil && e.state.State != string(v1alpha1.TargetStreaming) {
		e.state = e.probe.failure
	}
	return nil
}

func (e *examination) source(context.Context) *Check {
	state, reason, message := e.now()
	switch state {
	case v1alpha1.TargetFailed:
		reason = cmp.Or(reason, "SourceError")
		return &Check{checkSource, Fail, reason, cmp.Or(message, "the node cannot read the camera"), e.adviseSource(reason)}
	case v1alpha1.TargetStreaming:
		if reason == reasonCongested || reason == "SubstreamUnusable" {
			return &Check{checkSource, Warn, reason, message, ""}
		}
		return pass(checkSource, strings.Join(append([]string{"streaming"}, e.tracks()...), ", "))
	case v1alpha1.TargetPaused:
		return pass(checkSource, "connected, and paused")
	case v1alpha1.TargetConnecting:
		return unknown(checkSource, "the node is connecting to the camera")
	case v1alpha1.TargetIdle:
		return unknown(checkSource, "nobody watches, so the camera is not read; --probe tries")
	default:
		return unknown(checkSource, cmp.Or(message, "not known"))
	}
}

// adviseSource is what to do about a camera that cannot be read.
func (e *examination) adviseSource(reason string) string {
	if reason == "AuthenticationFailed" && e.endpoint != nil && e.endpoint.Spec.CredentialsSecretRef != nil {
		return makeSecret(e.rule.Namespace, e.endpoint.Spec.CredentialsSecretRef.Name)
	}
	return adviseSource(reason, e.rule.Namespace, e.target.Endpoint, e.target.Key.Node, e.camera())
}

// camera is the host of the endpoint's URL.
func (e *examination) camera() string {
	if e.endpoint == nil {
		return ""
	}
	u, err := url.Parse(e.endpoint.Spec.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

func (e *examination) tracks() []string {
	if e.state == nil {
		return e.status().Codecs
	}
	var names []string
	for _, t := range e.state.Tracks {
		name := string(t.Codec)
		if t.Width > 0 {
			name += fmt.Sprintf(" %dx%d", t.Width, t.Height)
		}
		names = append(names, name)
	}
	return names
}

// carried are the codecs that the outputs carry.
var carried = map[media.Codec]bool{media.H264: true, media.H265: true, media.AAC: true, media.Opus: true}

// output checks that there is a way to watch what the camera sends.
func (e *examination) output(context.Context) *Check {
	if e.state == nil || len(e.state.Tracks) == 0 && len(e.state.Skipped) == 0 {
		return nil
	}
	var left []string
	usable := 0
	for _, t := range e.state.Tracks {
		if carried[t.Codec] {
			usable++
		} else {
			left = append(left, string(t.Codec))
		}
	}
	for _, s := range e.state.Skipped {
		left = append(left, s.Codec)
	}
	const next = "in the camera's settings: H.264 or H.265 for the picture, AAC or Opus for sound"
	switch {
	case usable == 0:
		return &Check{checkOutput, Fail, "NoOutput", "no output can carry what the camera sends: " + strings.Join(left, ", "), next}
	case len(left) > 0:
		return &Check{checkOutput, Warn, "TrackLeftOut", "viewers do not get " + strings.Join(left, ", "), next}
	default:
		return pass(checkOutput, "every track can be watched")
	}
}

const (
	slowStart = 3 * time.Second
	longGOP   = 10 * time.Second
)

// picture says what a viewer has got.
func (e *examination) picture(context.Context) *Check {
	if e.probe == nil {
		return nil
	}
	m := e.probe.seen
	if m == nil || m.Frames == 0 {
		return e.noPicture()
	}
	frames := "frames"
	if !m.Video {
		frames = "frames of sound"
	}
	interval := fmt.Sprintf("%.1f s", m.KeyFrameInterval.Seconds())
	if m.OnlyLonger {
		interval = "more than " + interval
	}
	message := fmt.Sprintf("first picture after %.2f s, %.1f %s a second, key frames %s apart", m.FirstFrame.Seconds(), m.Rate, frames, interval)
	if !m.Sound {
		message += ", no sound"
	}
	switch {
	case m.Video && m.KeyFrameInterval > longGOP:
		return &Check{checkProbe, Warn, "LongGOP", message + ": after a loss there is no picture until the next one",
			"in the camera's settings: a key frame (I-frame, GOP) each 2 s"}
	case m.FirstFrame > slowStart:
		return &Check{checkProbe, Warn, "SlowStart", message, "key frames that are nearer to each other make the first picture come sooner"}
	default:
		return pass(checkProbe, message)
	}
}

func (e *examination) noPicture() *Check {
	c := &Check{checkProbe, Fail, "NoFrames", "a viewer gets no picture", "on node " + e.target.Key.Node + ": journalctl -u edgecore | grep -i datastream"}
	if state, reason, _ := e.now(); state == v1alpha1.TargetPaused || reason == reasonPaused {
		// It was paused before there was a picture that could freeze.
		c.Code, c.Message, c.Next = reasonPaused, c.Message+" of a paused stream", e.command("resume")
	}
	if e.probe.err == nil {
		return c
	}
	c.Message += ": " + e.probe.err.Error()
	if apierrors.IsTooManyRequests(e.probe.err) {
		c.Code, c.Next = "TooManyViewers", "raise modules.cloudDataStream.limits in cloudcore.yaml, or wait until somebody has left"
	}
	return c
}
