// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package output

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what viewers get, by output.
type Metrics struct {
	// Bytes counts bytes written to viewers.
	Bytes *prometheus.CounterVec
	// Skips counts jumps of slow viewers to a newer random access point.
	Skips *prometheus.CounterVec
	// Stuck counts viewers that were closed because a write timed out.
	Stuck *prometheus.CounterVec
	// Buffered is what the outputs keep for their viewers, in bytes.
	Buffered *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "datastream", Subsystem: "output", Name: name, Help: help}, []string{"output"})
	}
	m := &Metrics{
		Bytes: counter("written_bytes_total", "Bytes written to viewers."),
		Skips: counter("viewer_skips_total", "Jumps of slow viewers to a newer random access point."),
		Stuck: counter("viewers_stuck_total", "Viewers closed because a write to them timed out."),
		Buffered: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "datastream", Subsystem: "output", Name: "buffered_bytes", Help: "Bytes that outputs keep for their viewers.",
		}, []string{"output"}),
	}
	reg.MustRegister(m.Bytes, m.Skips, m.Stuck, m.Buffered)
	return m
}
