// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package collector is an OpenTelemetry collector for tests: it takes spans by OTLP over gRPC and keeps them.
package collector

import (
	"context"
	"fmt"
	"net"
	"sync"

	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// Span is one that has arrived, with the service that it is of.
type Span struct {
	*tracev1.Span
	Service string
}

// Collector is an OTLP server on the loopback.
type Collector struct {
	otlp.UnimplementedTraceServiceServer
	address string
	server  *grpc.Server
	served  chan struct{}

	mu      sync.Mutex
	spans   []Span
	arrived chan struct{} // closed and replaced with each export
}

// Start starts a collector on a free port.
func Start() (*Collector, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for spans: %w", err)
	}
	c := &Collector{address: l.Addr().String(), server: grpc.NewServer(), served: make(chan struct{}), arrived: make(chan struct{})}
	otlp.RegisterTraceServiceServer(c.server, c)
	go func() {
		defer close(c.served)
		_ = c.server.Serve(l) // Stop ends it
	}()
	return c, nil
}

// Address is host:port.
func (c *Collector) Address() string { return c.address }

// Close ends the collector.
func (c *Collector) Close() {
	c.server.Stop()
	<-c.served
}

// Export implements the service.
func (c *Collector) Export(_ context.Context, r *otlp.ExportTraceServiceRequest) (*otlp.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range r.GetResourceSpans() {
		service := ""
		for _, a := range of.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, Span{s, service})
			}
		}
	}
	close(c.arrived)
	c.arrived = make(chan struct{})
	return &otlp.ExportTraceServiceResponse{}, nil
}

// Spans returns what has arrived, and a channel that is closed when there is more.
func (c *Collector) Spans() ([]Span, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...), c.arrived
}
