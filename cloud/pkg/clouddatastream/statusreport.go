// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"mime"
	"sync/atomic"
	"time"

	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/beehive/pkg/core/model"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// statusInterval is the time between two reports: the most that a rule's status lags behind because of this side.
const statusInterval = time.Second

// statusReporter tells the controller what the streams do: at most one message an interval, with all that changed. It
// looks at the streams instead of being called by them, so that however slow the controller is, no stream waits.
type statusReporter struct {
	streams *StreamServer
	send    func(assignment.StreamStates) // may block
	all     atomic.Bool                   // the next report is to be a full one
	seen    map[tunnel.StreamKey]seenStream
}

// seenStream is a stream as it was last reported. Its status has changed since if changed is closed.
type seenStream struct {
	video   *VideoSession
	changed <-chan struct{}
}

func newStatusReporter(streams *StreamServer, send func(assignment.StreamStates)) *statusReporter {
	return &statusReporter{streams: streams, send: send, seen: make(map[tunnel.StreamKey]seenStream)}
}

// reportAll has every stream reported next time.
func (r *statusReporter) reportAll() { r.all.Store(true) }

// run reports until ctx ends.
func (r *statusReporter) run(ctx context.Context) {
	ticker := time.NewTicker(statusInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if states := r.collect(); states.Full || len(states.Streams) > 0 {
				r.send(states)
			}
		}
	}
}

// collect returns what changed since it was last called. Streams that are gone need no mention: it is the controller
// that removed them.
func (r *statusReporter) collect() assignment.StreamStates {
	states := assignment.StreamStates{Full: r.all.Swap(false)}
	videos := r.streams.all()
	now := make(map[tunnel.StreamKey]seenStream, len(videos))
	for _, v := range videos {
		last := r.seen[v.key]
		if last.video == v && !states.Full && !closed(last.changed) {
			now[v.key] = last
			continue
		}
		state, changed := streamState(v)
		states.Streams = append(states.Streams, state)
		now[v.key] = seenStream{v, changed}
	}
	r.seen = now
	return states
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func streamState(v *VideoSession) (assignment.StreamState, <-chan struct{}) {
	status, changed := v.Status()
	v.mu.Lock()
	tracks, uid := v.tracks, v.entry.RuleUID // tracks are replaced, never changed
	v.mu.Unlock()
	return assignment.StreamState{
		Key: v.key, RuleUID: uid,
		State: status.State, Reason: status.Reason, Message: status.Message,
		Codecs: codecs(tracks), Viewers: status.Viewers,
	}, changed
}

// codecs names the codecs of tracks as an MP4 of each would, and those that MP4 cannot carry by their own name.
func codecs(tracks []media.Track) []string {
	var names []string
	for i := range tracks {
		name := string(tracks[i].Codec)
		if m, err := fmp4.NewMuxer(tracks[i : i+1]); err == nil {
			if _, params, err := mime.ParseMediaType(m.MIME()); err == nil && params["codecs"] != "" {
				name = params["codecs"]
			}
		}
		names = append(names, name)
	}
	return names
}

func sendStates(s assignment.StreamStates) {
	message := model.NewMessage("").BuildRouter(assignment.CloudModule, "", assignment.Resource, assignment.OpStates).FillBody(s)
	beehiveContext.Send(assignment.ControllerModule, *message)
}
