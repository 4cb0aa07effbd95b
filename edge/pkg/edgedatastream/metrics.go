// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the module does, all streams together.
type Metrics struct {
	// QueueBytes is the payload that waits for tunnels, in bytes.
	QueueBytes prometheus.Gauge
	// QueueDelay is how long units waited for their tunnel, in seconds.
	QueueDelay prometheus.Histogram
	// Drops counts units that were not sent, by cause.
	Drops *prometheus.CounterVec
	// Tunnels is the number of connected tunnels; Dials counts attempts, by result.
	Tunnels prometheus.Gauge
	Dials   *prometheus.CounterVec
	// SourceErrors counts failed or lost camera sessions, by reason.
	SourceErrors *prometheus.CounterVec
	// Substreams is the number of streams whose substream is on.
	Substreams prometheus.Gauge
	// Switches counts changes between main stream and substream, SwitchFailures those that came to nothing, by the stream that was wanted.
	Switches, SwitchFailures *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	const namespace, subsystem = "datastream", "edge"
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, []string{label})
	}
	m := &Metrics{
		QueueBytes: gauge("queue_bytes", "Payload bytes that wait for tunnels."),
		QueueDelay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "queue_delay_seconds", Help: "Time that units waited for their tunnel.",
			Buckets: []float64{.001, .005, .02, .05, .1, .25, .5, 1, 2, 3, 5},
		}),
		Drops:        counter("dropped_units_total", "Access units that were not sent.", "cause"),
		Tunnels:      gauge("tunnels", "Tunnels that are connected."),
		Dials:        counter("tunnel_dials_total", "Attempts to connect a tunnel.", "result"),
		SourceErrors: counter("source_errors_total", "Camera sessions that failed or were lost.", "reason"),
		Substreams:   gauge("substreams", "Streams whose substream is on in place of the main stream."),

		Switches:       counter("stream_switches_total", "Changes between an endpoint's main stream and its substream.", "to"),
		SwitchFailures: counter("stream_switch_failures_total", "Changes between main stream and substream that came to nothing.", "to"),
	}
	reg.MustRegister(m.QueueBytes, m.QueueDelay, m.Drops, m.Tunnels, m.Dials, m.SourceErrors, m.Substreams, m.Switches, m.SwitchFailures)
	return m
}
