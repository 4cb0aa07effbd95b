// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"k8s.io/klog/v2"
)

// calm is an exporter whose failures are one line in the log, and one when they are over. OpenTelemetry's own handling of errors is
// global to the process and says each of them. Its caller has one export under way at a time.
type calm struct {
	sdktrace.SpanExporter
	collector string
	over      context.Context // its end ends exports that are under way
	lost      int             // spans since the first failure
}

// ExportSpans implements sdktrace.SpanExporter.
func (c *calm) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.over, cancel)()
	err := c.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil:
		if c.lost == 0 {
			klog.InfoS("Traces cannot be sent, it is tried again", "collector", c.collector, "err", err)
		}
		c.lost += len(spans)
	case c.lost > 0:
		klog.InfoS("Traces are sent again", "collector", c.collector, "lost", c.lost)
		c.lost = 0
	}
	return nil
}
