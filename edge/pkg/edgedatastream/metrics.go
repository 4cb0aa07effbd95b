// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/congestion"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/instrument"
	"github.com/kubeedge/datastream/pkg/media"
)

// Metrics counts what the module does, all streams together. What is counted for each unit is looked up once.
type Metrics struct {
	// QueueBytes and QueueUnits are what waits for tunnels.
	QueueBytes, QueueUnits prometheus.Gauge
	// QueueDelay is how long units waited for their tunnel, in seconds.
	QueueDelay prometheus.Histogram
	// Drops counts units that were not sent, by cause and kind.
	Drops *prometheus.CounterVec
	// Tunnels is the number of connected tunnels; Dials counts attempts, by result; Replacements those that took a silent one's place.
	Tunnels      prometheus.Gauge
	Dials        *prometheus.CounterVec
	Replacements prometheus.Counter
	// RTT is the round-trip time of tunnels, in seconds; LossControl counts those whose TCP congestion control was changed.
	RTT         prometheus.Histogram
	LossControl prometheus.Counter
	// SourceErrors counts failed or lost camera sessions, by reason; Reconnects those that were begun behind one.
	SourceErrors *prometheus.CounterVec
	Reconnects   prometheus.Counter
	// Sessions is the number of camera sessions; Start is how long they took until their first unit, in seconds.
	Sessions prometheus.Gauge
	Start    prometheus.Histogram
	// Substreams is the number of streams whose substream is on.
	Substreams prometheus.Gauge
	// Switches counts changes between main stream and substream, SwitchFailures those that came to nothing, by the stream that was wanted.
	Switches, SwitchFailures *prometheus.CounterVec

	streams                                            *streamCollector
	receivedUnits, receivedBytes, sentUnits, sentBytes instrument.ByKind
	drops                                              map[string]instrument.ByKind // by cause
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	const namespace, subsystem = "datastream", "edge"
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets})
	}
	m := &Metrics{
		QueueBytes:   gauge("queue_bytes", "Payload bytes that wait for tunnels."),
		QueueUnits:   gauge("queue_units", "Access units that wait for tunnels."),
		QueueDelay:   histogram("queue_delay_seconds", "Time that units waited for their tunnel.", []float64{.001, .005, .02, .05, .1, .25, .5, 1, 2, 3, 5}),
		Drops:        counters("dropped_units_total", "Access units that were not sent.", "cause", instrument.KindLabel),
		Tunnels:      gauge("tunnels", "Tunnels that are connected."),
		Dials:        counters("tunnel_dials_total", "Attempts to connect a tunnel.", "result"),
		Replacements: counter("tunnel_replacements_total", "Tunnels that had fallen silent and were replaced."),
		RTT: histogram("tunnel_rtt_seconds", "Round-trip time of tunnels, at most once a second for each that sends.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .2, .3, .5, .75, 1, 2, 5}),
		LossControl:  counter("loss_control_changes_total", "Tunnels whose TCP congestion control was changed since the path loses packets by itself."),
		SourceErrors: counters("source_errors_total", "Camera sessions that failed or were lost.", "reason"),
		Reconnects:   counter("source_reconnects_total", "Camera sessions begun again because the one before had failed."),
		Sessions:     gauge("source_sessions", "Camera sessions that run."),
		Start: histogram("source_start_seconds", "Time from the begin of a camera session to its first unit.",
			[]float64{.05, .1, .25, .5, .75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 30}),
		Substreams: gauge("substreams", "Streams whose substream is on in place of the main stream."),

		Switches:       counters("stream_switches_total", "Changes between an endpoint's main stream and its substream.", "to"),
		SwitchFailures: counters("stream_switch_failures_total", "Changes between main stream and substream that came to nothing.", "to"),

		streams: newStreamCollector(),
		drops:   make(map[string]instrument.ByKind),
	}
	byKind := func(name, help string) instrument.ByKind {
		vec := counters(name, help, instrument.KindLabel)
		reg.MustRegister(vec)
		return instrument.NewByKind(vec, nil)
	}
	m.receivedUnits = byKind("received_units_total", "Access units from cameras.")
	m.receivedBytes = byKind("received_bytes_total", "Payload bytes from cameras.")
	m.sentUnits = byKind("sent_units_total", "Access units that left the queue for a tunnel.")
	m.sentBytes = byKind("sent_bytes_total", "Payload bytes that left the queue for a tunnel.")
	reg.MustRegister(m.QueueBytes, m.QueueUnits, m.QueueDelay, m.Drops, m.Tunnels, m.Dials, m.Replacements, m.RTT, m.LossControl,
		m.SourceErrors, m.Reconnects, m.Sessions, m.Start, m.Substreams, m.Switches, m.SwitchFailures, m.streams)
	m.zero()
	return m
}

// zero has counters there before they count: a rate over one that appears misses its first step.
func (m *Metrics) zero() {
	for _, cause := range []string{dropDisposable, dropTail, dropReference, dropPassed, dropAudio, source.LostPackets, source.LostOversized} {
		m.drops[cause] = instrument.NewByKind(m.Drops, prometheus.Labels{"cause": cause})
	}
	for _, result := range []string{dialConnected, dialRefused, dialFailed} {
		m.Dials.WithLabelValues(result)
	}
	for _, reason := range source.Reasons() {
		m.SourceErrors.WithLabelValues(reason)
	}
	for _, choice := range []congestion.Choice{congestion.Main, congestion.Sub} {
		m.Switches.WithLabelValues(choice.String())
		m.SwitchFailures.WithLabelValues(choice.String())
	}
}

// received counts a unit of a camera.
func (m *Metrics) received(kind media.Kind, bytes int) {
	m.receivedUnits.Of(kind).Inc()
	m.receivedBytes.Of(kind).Add(float64(bytes))
}

// sent counts a unit that goes to a tunnel.
func (m *Metrics) sent(kind media.Kind, bytes int) {
	m.sentUnits.Of(kind).Inc()
	m.sentBytes.Of(kind).Add(float64(bytes))
}

// dropped counts a unit that is not sent.
func (m *Metrics) dropped(cause string, kind media.Kind) {
	kinds, ok := m.drops[cause]
	if !ok { // of a source that has words of its own
		m.Drops.WithLabelValues(cause, string(kind)).Inc()
		return
	}
	kinds.Of(kind).Inc()
}

// Values of the label result of Dials.
const (
	dialConnected = "connected"
	dialRefused   = "refused"
	dialFailed    = "failed"
)
