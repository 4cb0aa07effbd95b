// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"net/http"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/pkg/tracing"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// traceWatch begins the trace of a viewer's request, which the guard has let through, and returns the request to go on with. The trace ends
// with the first picture, or when end is called, with why there was none. The viewer's name is not in it, nor where it came from.
//
// A traceparent of the request counts only if the API server knows who sent it: others could have everything traced.
func (s *StreamServer) traceWatch(r *http.Request, video *VideoSession, format string) (traced *http.Request, end func(error)) {
	if s.tracer == nil {
		return r, func(error) {}
	}
	access, parent := viewerauth.From(r.Context()), ""
	if access.User() != "" {
		parent = r.Header.Get("Traceparent")
	}
	arrived := trace.WithTimestamp(access.Arrived)
	ctx, watch := s.tracer.Begin(r.Context(), parent, "watch", arrived, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("stream", video.key.String()), attribute.String("output", format)))
	if !watch.IsRecording() {
		return r, func(error) {}
	}
	_, authorize := tracing.Step(ctx, "authorize", arrived)
	authorize.End()
	video.tracedBy(tracing.Parent(ctx))

	following, cancel := context.WithCancel(ctx)
	var follower sync.WaitGroup
	follower.Go(func() { video.follow(following) })
	ctx = output.WithFirstPicture(ctx, func() {
		watch.AddEvent("first picture written")
		watch.End()
	})
	return r.WithContext(ctx), func(err error) {
		cancel()
		follower.Wait()
		if err == nil {
			watch.AddEvent("left without a picture") // not if it has ended before
		}
		tracing.End(watch, err)
	}
}

// tracedBy tells which trace the next start of the stream belongs to, if it is not running.
func (v *VideoSession) tracedBy(traceparent string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.flowing {
		v.traceparent = traceparent
	}
}

// follow notes in ctx's trace what becomes of the stream, until units flow or ctx ends.
func (v *VideoSession) follow(ctx context.Context) {
	_, span := tracing.Step(ctx, "wait for the stream")
	defer span.End()
	var state string
	var action tunnel.Action
	for {
		status, changed := v.Status()
		if status.State != state {
			state = status.State
			span.AddEvent("state "+state, trace.WithAttributes(attribute.String("reason", status.Reason)))
		}
		desired, flowing := v.progress()
		if desired != action {
			action = desired
			span.AddEvent("desired " + string(action))
		}
		if flowing {
			span.AddEvent("units flow")
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// progress is what the edge is asked for and whether units come of it.
func (v *VideoSession) progress() (desired tunnel.Action, flowing bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.action, v.flowing
}
