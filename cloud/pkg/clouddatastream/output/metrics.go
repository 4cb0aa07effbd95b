// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package output

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what viewers get, by output.
type Metrics struct {
	// Units and Bytes count access units and bytes written to viewers.
	Units, Bytes *prometheus.CounterVec
	// Skips counts jumps of slow viewers to a newer random access point.
	Skips *prometheus.CounterVec
	// Stuck counts viewers that were closed because a write timed out.
	Stuck *prometheus.CounterVec
	// Buffered is what the outputs keep for their viewers, in bytes.
	Buffered *prometheus.GaugeVec
	// Latency is the time from a unit's receipt by its output to the end of a write to a viewer, in seconds, for some of the writes.
	Latency *prometheus.HistogramVec
	// FirstPicture is the time from a viewer's request to the end of the first write of media, in seconds, by output and by start: Cold or Warm.
	FirstPicture *prometheus.HistogramVec
}

// Values of FirstPicture's label start: whether the stream ran already.
const (
	Cold = "cold"
	Warm = "warm"
)

// NewMetrics makes the metrics and registers them. They are there for those outputs before the first viewer is.
func NewMetrics(reg prometheus.Registerer, outputs ...string) *Metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "datastream", Subsystem: "output", Name: name, Help: help}, []string{"output"})
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "datastream", Subsystem: "output", Name: name, Help: help, Buckets: buckets,
		}, append([]string{"output"}, labels...))
	}
	m := &Metrics{
		Units: counter("written_units_total", "Access units written to viewers."),
		Bytes: counter("written_bytes_total", "Bytes written to viewers."),
		Skips: counter("viewer_skips_total", "Jumps of slow viewers to a newer random access point."),
		Stuck: counter("viewers_stuck_total", "Viewers closed because a write to them timed out."),
		Buffered: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "datastream", Subsystem: "output", Name: "buffered_bytes", Help: "Bytes that outputs keep for their viewers.",
		}, []string{"output"}),
		Latency: histogram("fanout_latency_seconds", "Time from the receipt of an access unit to the end of the write to a viewer.",
			[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}),
		FirstPicture: histogram("first_picture_seconds", "Time from a viewer's request to the first media that was written, by whether the stream ran already.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 30}, "start"),
	}
	reg.MustRegister(m.Units, m.Bytes, m.Skips, m.Stuck, m.Buffered, m.Latency, m.FirstPicture)
	for _, name := range outputs {
		for _, vec := range []*prometheus.CounterVec{m.Units, m.Bytes, m.Skips, m.Stuck} {
			vec.WithLabelValues(name)
		}
		m.Buffered.WithLabelValues(name)
		m.Latency.WithLabelValues(name)
		m.FirstPicture.WithLabelValues(name, Cold)
		m.FirstPicture.WithLabelValues(name, Warm)
	}
	return m
}

// Meter counts what one viewer of an output gets.
func (m *Metrics) Meter(output string) Meter {
	return Meter{units: m.Units.WithLabelValues(output), bytes: m.Bytes.WithLabelValues(output), latency: m.Latency.WithLabelValues(output)}
}

// Meter counts what a viewer gets. Its labels were looked up when it was made, so that it costs next to nothing for each write.
type Meter struct {
	units, bytes prometheus.Counter
	latency      prometheus.Observer
	delivered    int
}

// latencyEvery is of how many writes one is timed: the clock costs more than all that is counted. It divides no usual distance of key frames,
// which would be timed always or never.
const latencyEvery = 7

// Wrote counts bytes.
func (m *Meter) Wrote(bytes int) { m.bytes.Add(float64(bytes)) }

// Delivered counts units that have been written, the oldest of which the output received at that time. It is zero for what was there before the viewer.
func (m *Meter) Delivered(units int, received time.Time) {
	m.units.Add(float64(units))
	if received.IsZero() {
		return
	}
	if m.delivered%latencyEvery == 0 {
		m.latency.Observe(time.Since(received).Seconds())
	}
	m.delivered++
}
