// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/goleak"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/tests/monitoring/collector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startCollector(t *testing.T) *collector.Collector {
	t.Helper()
	c, err := collector.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newTracer(t *testing.T, cfg *v1alpha1.Tracing, service string) *Tracer {
	t.Helper()
	tracer, err := New(t.Context(), cfg, service, attribute.String("k8s.node.name", "edge-1"))
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// end ends a tracer once all has arrived, for which Close alone waits only so long.
func end(t *testing.T, tracer *Tracer) {
	t.Helper()
	if err := tracer.provider.ForceFlush(t.Context()); err != nil {
		t.Error(err)
	}
	tracer.Close()
}

// TestTraceAcrossProcesses has a trace begin in one process and go on in another one, by its traceparent.
func TestTraceAcrossProcesses(t *testing.T) {
	c := startCollector(t)
	cfg := &v1alpha1.Tracing{Endpoint: c.Address(), Insecure: true, SamplingRatePerMillion: 1e6}
	cloud := newTracer(t, cfg, "cloud")
	cfg.SamplingRatePerMillion = 0 // the parent decides
	edge := newTracer(t, cfg, "edge")

	above, watch := cloud.Begin(t.Context(), "", "watch")
	_, step := Step(above, "authorize")
	End(step, errors.New("refused"))
	parent := Parent(above)
	below, start := edge.Begin(t.Context(), parent, "start camera")
	_, describe := Step(below, "RTSP DESCRIBE")
	End(describe, nil)
	End(start, nil)
	End(watch, nil)
	end(t, cloud)
	end(t, edge)

	spans, _ := c.Spans()
	parents := map[string]string{"watch": "", "authorize": "watch", "start camera": "watch", "RTSP DESCRIBE": "start camera"}
	if len(spans) != len(parents) {
		t.Fatalf("%d spans arrived, want %d", len(spans), len(parents))
	}
	for _, s := range spans {
		want, service := parents[s.Name], "cloud"
		if s.Name == "start camera" || s.Name == "RTSP DESCRIBE" {
			service = "edge"
		}
		if s.Service != service {
			t.Errorf("%s is of service %q, want %q", s.Name, s.Service, service)
		}
		if want == "" {
			if len(s.ParentSpanId) != 0 {
				t.Errorf("%s has a parent", s.Name)
			}
			continue
		}
		i := slices.IndexFunc(spans, func(o collector.Span) bool { return o.Name == want })
		if i < 0 || !slices.Equal(s.ParentSpanId, spans[i].SpanId) || !slices.Equal(s.TraceId, spans[i].TraceId) {
			t.Errorf("%s is not a part of %s", s.Name, want)
		}
	}
}

// TestNotSampled has nothing recorded, here or below, though a collector is there.
func TestNotSampled(t *testing.T) {
	c := startCollector(t)
	tracer := newTracer(t, &v1alpha1.Tracing{Endpoint: c.Address(), Insecure: true}, "cloud")
	for _, parent := range []string{"", "garbage", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"} {
		ctx, span := tracer.Begin(t.Context(), parent, "watch")
		_, step := Step(ctx, "authorize")
		if span.IsRecording() || step.IsRecording() || Parent(ctx) != "" {
			t.Errorf("a trace below %q is recorded", parent)
		}
		End(step, nil)
		End(span, nil)
	}
	ctx, span := tracer.Begin(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "watch")
	if !span.IsRecording() || Parent(ctx) == "" {
		t.Error("a trace whose parent is sampled is not recorded")
	}
	End(span, nil)
	end(t, tracer)
	if spans, _ := c.Spans(); len(spans) != 1 {
		t.Errorf("%d spans arrived, want the one of the sampled parent", len(spans))
	}
}

// TestCollectorAway has spans made, more than are kept, and the tracer closed while nobody listens. What counts is that it ends, and
// that nothing is left of it.
func TestCollectorAway(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	tracer := newTracer(t, &v1alpha1.Tracing{Endpoint: address, SamplingRatePerMillion: 1e6}, "cloud")
	for range 2 * queueSize {
		_, span := tracer.Begin(t.Context(), "", "watch")
		End(span, nil)
	}
	tracer.Close()
}

func TestOff(t *testing.T) {
	for name, cfg := range map[string]*v1alpha1.Tracing{"no section": nil, "no collector": {}} {
		if tracer := newTracer(t, cfg, "cloud"); tracer != nil {
			t.Errorf("%s: there is a tracer", name)
		}
	}
	if n := testing.AllocsPerRun(100, off(t.Context())); n != 0 {
		t.Errorf("a trace that is off allocates %v times", n)
	}
	cfg := &v1alpha1.Tracing{Endpoint: "127.0.0.1:4317", CAFile: "/nonexistent"}
	if _, err := New(t.Context(), cfg, "cloud"); err == nil {
		t.Error("a CA file that is not there is no error")
	}
}

// off is what a request costs without tracing.
func off(ctx context.Context) func() {
	var tracer *Tracer
	return func() {
		ctx, span := tracer.Begin(ctx, "", "watch")
		_, step := Step(ctx, "authorize")
		End(step, nil)
		if Parent(ctx) == "" {
			End(span, nil)
		}
	}
}

func BenchmarkOff(b *testing.B) {
	do := off(b.Context())
	b.ReportAllocs()
	for b.Loop() {
		do()
	}
}
