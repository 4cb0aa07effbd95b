// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/monitoring/collector"
)

const password = "canary-7f3a"

// TestTrace follows a viewer's request to the camera and back: one trace with spans of both ends, and no credentials in it.
func TestTrace(t *testing.T) {
	cam := startCamera(t, camera.Config{Username: "user", Password: password})
	rule := fmt.Sprintf("traced-%d", time.Now().UnixNano()) // another one with -count
	stream := applyRule(t, rule, node, strings.Replace(cam.URL(), "//", "//user:"+password+"@", 1))
	newAudience(t).watch(stream, "ts", 1)

	// What each span is a part of.
	parents := map[string]string{
		"watch": "", "authorize": "watch", "wait for the stream": "watch", "start camera": "watch",
		"RTSP DESCRIBE": "start camera", "RTSP SETUP": "start camera", "RTSP PLAY": "start camera", "first key frame": "start camera",
	}
	trace := waitTrace(t, "default/"+rule, len(parents))
	for _, s := range trace {
		want, known := parents[s.Name]
		if !known {
			t.Errorf("unexpected span %q", s.Name)
			continue
		}
		delete(parents, s.Name)
		service := assignment.CloudModule
		if want == "start camera" || s.Name == "start camera" {
			service = assignment.EdgeModule
		}
		if s.Service != service {
			t.Errorf("%s is of %s, want %s", s.Name, s.Service, service)
		}
		if i := slices.IndexFunc(trace, func(o collector.Span) bool { return o.Name == want }); want != "" &&
			(i < 0 || !slices.Equal(s.ParentSpanId, trace[i].SpanId)) {
			t.Errorf("%s is not a part of %q", s.Name, want)
		}
		if s.EndTimeUnixNano < s.StartTimeUnixNano {
			t.Errorf("%s ends before it begins", s.Name)
		}
		if strings.Contains(s.String(), password) {
			t.Errorf("%s tells the camera's password: %s", s.Name, s)
		}
	}
	for name := range parents {
		t.Errorf("there is no span %q", name)
	}
	wantEvents(t, trace, "wait for the stream", "desired start", "units flow")
	wantEvents(t, trace, "watch", "first picture written")
}

// waitTrace waits for so many spans of the trace of a viewer's first request for a stream.
func waitTrace(t *testing.T, stream string, n int) []collector.Span {
	t.Helper()
	timeout := time.After(patience)
	for {
		all, arrived := spans.Spans()
		var trace []collector.Span
		if i := slices.IndexFunc(all, func(s collector.Span) bool { return s.Name == "watch" && strings.Contains(s.String(), stream) }); i >= 0 {
			for _, s := range all {
				if slices.Equal(s.TraceId, all[i].TraceId) {
					trace = append(trace, s)
				}
			}
		}
		if len(trace) >= n {
			return trace
		}
		select {
		case <-arrived:
		case <-timeout:
			t.Fatalf("%d spans arrived, want %d: %v", len(trace), n, trace)
		}
	}
}

// wantEvents looks for events of a span, in this order.
func wantEvents(t *testing.T, trace []collector.Span, name string, want ...string) {
	t.Helper()
	i := slices.IndexFunc(trace, func(s collector.Span) bool { return s.Name == name })
	if i < 0 {
		return
	}
	var got []string
	for _, e := range trace[i].Events {
		got = append(got, e.Name)
	}
	rest := got
	for _, w := range want {
		i := slices.Index(rest, w)
		if i < 0 {
			t.Errorf("%s has the events %q, want %q among them", name, got, want)
			return
		}
		rest = rest[i+1:]
	}
}
