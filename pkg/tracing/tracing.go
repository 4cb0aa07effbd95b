// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tracing follows a viewer's request from the cloud to the camera and back, as OpenTelemetry spans that go to a collector by
// OTLP over gRPC. It is off unless it is configured, and then costs nothing: a nil Tracer begins nothing, and steps below nothing are
// nothing.
//
// Only what begins a trace has a Tracer. Steps find theirs in the context, so that whoever takes one knows no configuration. Across
// the tunnel a trace goes as a traceparent of W3C Trace Context.
package tracing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/credentials"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

const (
	scope = "github.com/kubeedge/datastream"
	// header is where W3C Trace Context, 3.2, puts what Parent returns.
	header = "traceparent"
	// flushTimeout bounds how long Close waits for the collector.
	flushTimeout = 2 * time.Second
	// queueSize bounds the spans that wait for the collector; more are lost.
	queueSize = 2048
)

// Tracer begins traces. A nil one is off.
type Tracer struct {
	trace.Tracer
	provider *sdktrace.TracerProvider
	hurry    context.CancelFunc // ends exports that are under way
}

// New makes the tracer of one service. It is nil if cfg is nil or names no collector. Nobody waits for the collector, now or later.
// The error is that of the CA file.
func New(ctx context.Context, cfg *v1alpha1.Tracing, service string, about ...attribute.KeyValue) (*Tracer, error) {
	if cfg == nil || cfg.Endpoint == "" {
		return nil, nil
	}
	opts := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(cfg.Endpoint)}
	if cfg.Insecure {
		opts = append(opts, otlptracegrpc.WithInsecure())
	} else {
		verify, err := verification(cfg.CAFile)
		if err != nil {
			return nil, err
		}
		opts = append(opts, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(verify)))
	}
	exporter, err := otlptracegrpc.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("preparing to send traces to %s: %w", cfg.Endpoint, err)
	}
	over, hurry := context.WithCancel(context.WithoutCancel(ctx))
	about = append(about, attribute.String("service.name", service))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&calm{SpanExporter: exporter, collector: cfg.Endpoint, over: over}, sdktrace.WithMaxQueueSize(queueSize)),
		sdktrace.WithResource(resource.NewSchemaless(about...)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(float64(cfg.SamplingRatePerMillion)/1e6))),
	)
	return &Tracer{provider.Tracer(scope), provider, hurry}, nil
}

// verification is how the collector proves who it is: by the system's authorities, or by those of caFile.
func verification(caFile string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA of the traces' collector: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the CA of the traces' collector: no certificate in %s", caFile)
	}
	return cfg, nil
}

// Close sends what is still to be sent, for a while, and ends the tracer.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	defer t.hurry()
	defer time.AfterFunc(flushTimeout, t.hurry).Stop() // Shutdown's own bound would leave its goroutines behind
	_ = t.provider.Shutdown(context.Background())      // what is lost, calm has said
}

// Begin begins a span that no step of this process is above: a new trace, or a part of the one that parent, a traceparent, names. What
// is not a traceparent is ignored. Whether a new trace is recorded, chance says; of the others their parent does.
func (t *Tracer) Begin(ctx context.Context, parent, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if t == nil {
		return ctx, nothing()
	}
	if parent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{header: parent})
	}
	return t.Start(ctx, name, opts...)
}

// nothing is a span that is not recorded.
func nothing() trace.Span { return trace.SpanFromContext(context.Background()) }

// Step begins a part of the span in ctx. Where there is none, or none that is recorded, neither is this one.
func Step(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	above := trace.SpanFromContext(ctx)
	if !above.IsRecording() {
		return ctx, nothing()
	}
	return above.TracerProvider().Tracer(scope).Start(ctx, name, opts...)
}

// Parent is the traceparent for steps elsewhere below the span in ctx; empty where none is recorded.
func Parent(ctx context.Context) string {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[header]
}

// End ends a span, as failed if there is an error. Whoever calls it sees to it that the error's text holds no credentials.
func End(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
