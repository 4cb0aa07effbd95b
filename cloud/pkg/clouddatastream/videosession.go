// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/limit"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// stateAway is the state of a stream whose tunnel is not connected.
const stateAway = "away"

// stallTime is how long a stream may send nothing before it counts as stalled.
const stallTime = 2 * time.Second

// mode is what the control API last asked for.
type mode int

const (
	modeAuto    mode = iota // runs while there are viewers
	modePaused              // frozen until resume or start
	modeStopped             // halted until start, viewers or not
)

var (
	errFenced       = errors.New("a newer tunnel of this target took over")
	errRemoved      = errors.New("the target was removed")
	errCannotCarry  = errors.New("this format cannot carry the stream")
	errTooMany      = errors.New("the stream has as many viewers as are allowed")
	errStalled      = errors.New("nothing came for the hold time")
	errStopped      = errors.New("the stream is stopped")
	errNoSuchAction = errors.New("unknown action")
)

// VideoSession is the cloud side of one stream: the Session that feeds it, the GOP cache, and the outputs with their
// viewers. It lives as long as its target; tunnels and viewers come and go.
type VideoSession struct {
	key      tunnel.StreamKey
	cfg      videoSessionConfig
	registry output.Registry
	metrics  *metrics

	mu         quietMutex
	tally      tally
	entry      assignment.Entry
	session    *Session // nil while no tunnel is connected
	source     tunnel.State
	tracks     []media.Track // nil until the source has announced them
	skipped    []tunnel.SkippedTrack
	timeline   media.Timeline
	gop        media.GOP
	accounted  int    // bytes of gop that cfg.memory knows of
	sequence   uint64 // of the newest unit
	resumed    bool   // the next unit is the first of its session
	flowing    bool   // units follow on each other; false: wait for a random access point
	missing    bool   // units are missing since the newest one of the lead
	lastUnit   time.Time
	outputs    map[string]*attached
	viewers    int
	mode       mode
	wanted     bool      // a viewer or the control API wants the stream
	idleSince  time.Time // since when wanted has had no viewer; zero otherwise
	stallSince time.Time // since when viewers have got nothing; zero while units flow
	generation uint64
	action     tunnel.Action
	// credentials are those that the edge was told with action: none with stop.
	credentials tunnel.Credentials
	// traceparent is that of the viewer who waits for the stream to start; empty if that is not traced.
	traceparent string
	changed     chan struct{} // closed and replaced at each change of the status
	removed     bool
}

type attached struct {
	output.Viewable
	viewers int
	err     error // why it ended by itself
}

type videoSessionConfig struct {
	stopGrace  time.Duration
	holdTime   time.Duration
	maxViewers int
	gopBytes   int
	gopMax     time.Duration
	memory     *limit.Memory // of all streams; nil: no bound
	output     output.Config
}

func newVideoSession(key tunnel.StreamKey, entry assignment.Entry, cfg videoSessionConfig, registry output.Registry, m *metrics) *VideoSession {
	return &VideoSession{
		key: key, entry: entry, cfg: cfg, registry: registry, metrics: m, tally: tally{metrics: m},
		gop:     media.GOP{MaxBytes: cfg.gopBytes, MaxDuration: cfg.gopMax},
		outputs: make(map[string]*attached),
		action:  tunnel.Stop,
		changed: make(chan struct{}),
	}
}

// Key names the stream.
func (v *VideoSession) Key() tunnel.StreamKey { return v.key }

// Status returns what the stream does, and a channel that is closed when that changes.
func (v *VideoSession) Status() (output.Status, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := output.Status{Viewers: v.viewers, Skipped: v.skipped, LastUnit: v.lastUnit}
	for i := range v.tracks {
		t := &v.tracks[i]
		info := output.TrackInfo{Kind: t.Kind, Codec: t.Codec}
		info.Width, info.Height = t.Size()
		s.Tracks = append(s.Tracks, info)
	}
	switch {
	case v.entry.Problem != "":
		s.State, s.Reason, s.Message = string(tunnel.Failed), "NotResolved", v.entry.Problem
	case v.session == nil:
		s.State, s.Reason, s.Message = stateAway, "TunnelDown", "node "+v.key.Node+" is not connected"
	default:
		s.State, s.Reason, s.Message = string(v.source.State), v.source.Reason, v.source.Message
	}
	switch idle := s.State == string(tunnel.Idle); {
	case v.mode == modeStopped && idle:
		s.Reason, s.Message = "Stopped", "stopped through the control API; start it the same way"
	case v.mode == modePaused && (idle || s.State == string(tunnel.Paused)):
		s.Reason, s.Message = "Paused", "paused through the control API; resume it the same way"
	}
	return s, v.changed
}

// notify tells everybody who waits that the status changed. v.mu is held.
func (v *VideoSession) notify() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// Attach makes the caller a viewer of one output and starts the stream if need be. The caller calls detach when
// it is done. The errors are those of the registry, errTooMany, errRemoved and errCannotCarry.
func (v *VideoSession) Attach(format string) (viewer *attached, detach func(), err error) {
	factory, err := v.registry.Find(format)
	if err != nil {
		return nil, nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.removed {
		return nil, nil, errRemoved
	}
	if v.viewers >= v.cfg.maxViewers {
		return nil, nil, errTooMany
	}
	a := v.outputs[format]
	if a == nil {
		made, ok := factory(v, v.cfg.output).(output.Viewable)
		if !ok {
			return nil, nil, fmt.Errorf("output %s cannot be viewed", format)
		}
		a = &attached{Viewable: made}
		if err := v.open(a, format); err != nil {
			a.Close()
			return nil, nil, err
		}
		v.outputs[format] = a
	}
	a.viewers++
	v.viewers++
	v.wanted, v.idleSince = true, time.Time{}
	v.decide()
	v.notify()
	v.metrics.viewers.WithLabelValues(format).Inc()
	return a, sync.OnceFunc(func() { v.detach(format, a) }), nil
}

func (v *VideoSession) detach(format string, a *attached) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a.viewers--
	v.viewers--
	v.metrics.viewers.WithLabelValues(format).Dec()
	if a.viewers == 0 && v.outputs[format] == a {
		delete(v.outputs, format)
		a.Close()
	}
	if v.viewers == 0 {
		v.idleSince = time.Now()
	}
	v.notify()
}

// open begins an output's stream with what the GOP cache holds. v.mu is held.
func (v *VideoSession) open(a *attached, format string) error {
	if v.tracks == nil {
		return nil
	}
	if err := a.Open(v.tracks); err != nil {
		return fmt.Errorf("%w: %s: %w", errCannotCarry, format, err)
	}
	for _, u := range v.gop.Units() {
		if err := a.Write(u); err != nil {
			return fmt.Errorf("writing output %s: %w", format, err)
		}
	}
	return nil
}

// ready says whether a viewer of a would get a picture now, or the error that it never will.
func (v *VideoSession) ready(a *attached, now time.Time) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.removed {
		return false, errRemoved
	}
	if a.err != nil {
		return false, a.err
	}
	live := now.Sub(v.lastUnit) < stallTime
	frozen := v.mode == modePaused && len(v.gop.Units()) > 0
	return v.session != nil && v.flowing && (live || frozen), nil
}

// cached is the size of the GOP cache in bytes.
func (v *VideoSession) cached() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gop.Bytes()
}

// account tells the memory of all streams what the GOP cache holds now. v.mu is held.
func (v *VideoSession) account() {
	bytes := v.gop.Bytes()
	v.cfg.memory.Add(bytes - v.accounted)
	v.accounted = bytes
}

func (v *VideoSession) ruleUID() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.entry.RuleUID
}

// closeOutputs ends every output; their viewers leave by themselves. v.mu is held.
func (v *VideoSession) closeOutputs() {
	for format, a := range v.outputs {
		a.err = errStalled
		a.Close()
		delete(v.outputs, format)
	}
}

// Control does what the control API asks: start, pause, resume or stop.
func (v *VideoSession) Control(action string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mode == modeStopped && (action == "pause" || action == "resume") {
		return errStopped
	}
	switch action {
	case "start":
		// Who starts a stream wants it even if the last viewer has just left.
		v.mode, v.wanted, v.idleSince = modeAuto, true, time.Time{}
	case "pause":
		v.mode = modePaused
	case "resume":
		v.mode = modeAuto
	case "stop":
		v.mode, v.wanted, v.idleSince = modeStopped, v.viewers > 0, time.Time{}
	default:
		return fmt.Errorf("%w %.32q, want start, pause, resume or stop", errNoSuchAction, action)
	}
	v.decide()
	v.notify()
	return nil
}

// decide tells the edge what is wanted now, if that is something new. v.mu is held.
func (v *VideoSession) decide() {
	action := tunnel.Start
	switch {
	case !v.wanted || v.mode == modeStopped || v.entry.Problem != "":
		action = tunnel.Stop
	case v.mode == modePaused:
		action = tunnel.Pause
	}
	credentials := v.entry.Credentials
	if action == tunnel.Stop {
		credentials = tunnel.Credentials{}
	}
	if action == v.action && credentials == v.credentials {
		return
	}
	v.action, v.credentials = action, credentials
	v.generation++
	v.stallSince = time.Time{}
	if action == tunnel.Stop {
		// What comes after a stop is a new beginning: nobody shall be shown an old picture first.
		v.gop.Reset()
		v.account()
		v.flowing, v.traceparent = false, ""
		v.reopen()
	}
	v.tell()
}

// tell has the edge told what is desired. An edge forgets its credentials with a stop. Where nobody could give them back to it, it is told nothing until
// somebody wants the stream: it keeps its camera for a while, and viewers may be as much on their way back as it was. v.mu is held.
func (v *VideoSession) tell() {
	if v.session != nil && (v.generation > 0 || !v.entry.CredentialsUnknown) {
		v.session.setDesired(v.desired())
	}
}

func (v *VideoSession) desired() tunnel.Desired {
	return tunnel.Desired{Action: v.action, Generation: v.generation, Traceparent: v.traceparent, Credentials: v.credentials}
}

// Tick lets time pass: it stops a stream that has had no viewers for the grace period, and lets viewers go who have got
// nothing for the hold time though nobody asked for that.
func (v *VideoSession) Tick(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.wanted && !v.idleSince.IsZero() && now.Sub(v.idleSince) >= v.cfg.stopGrace {
		v.wanted, v.idleSince = false, time.Time{}
		v.decide()
		v.notify()
	}
	switch {
	case v.action != tunnel.Start || v.viewers == 0 || now.Sub(v.lastUnit) < stallTime:
		v.stallSince = time.Time{}
	case v.stallSince.IsZero():
		v.stallSince = now
	case now.Sub(v.stallSince) >= v.cfg.holdTime:
		viewers := v.viewers
		v.mu.later(func() {
			klog.InfoS("Stream stalled for longer than the hold time, viewers are let go", "stream", v.key, "viewers", viewers)
		})
		v.stallSince = time.Time{}
		v.closeOutputs()
	}
}

// update takes a newer directory entry of the same rule.
func (v *VideoSession) update(e assignment.Entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.entry == e {
		return
	}
	learnt := v.entry.CredentialsUnknown && !e.CredentialsUnknown
	v.entry = e
	v.decide()
	if learnt && v.generation == 0 {
		v.tell()
	}
	v.notify()
}

// remove ends the session for good: the target is gone, or the server ends. The edge is told why.
func (v *VideoSession) remove(code int, reason string) {
	v.mu.Lock()
	v.removed = true
	s := v.session
	v.session = nil
	v.gop.Reset()
	v.account()
	v.closeOutputs()
	v.notify()
	v.mu.Unlock()
	if s != nil {
		s.end(code, reason)
	}
}

// target is the directory's entry.
func (v *VideoSession) target() assignment.Entry {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.entry
}

// reopen begins all outputs anew, so that who comes now waits for what is to come. v.mu is held.
func (v *VideoSession) reopen() {
	if v.tracks == nil {
		return
	}
	for format, a := range v.outputs {
		if err := a.Open(v.tracks); err != nil {
			v.fail(format, a, err)
		}
	}
}
