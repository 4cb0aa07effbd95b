// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import "github.com/prometheus/client_golang/prometheus"

// metrics are the module's own; outputs have theirs.
type metrics struct {
	tunnels    prometheus.Gauge
	handshakes *prometheus.CounterVec // by outcome
	viewers    *prometheus.GaugeVec   // by output
	units      prometheus.Counter
	bytes      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "datastream", Subsystem: "cloud", Name: name, Help: help}
	}
	m := &metrics{
		tunnels: prometheus.NewGauge(prometheus.GaugeOpts(opts("tunnels", "Tunnels that are connected."))),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts(opts("handshakes_total",
			"TLS handshakes that edges began, by outcome: admitted at once, delayed to spread them, refused with 503, dropped.")), []string{"outcome"}),
		viewers: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("viewers", "Viewers, by output.")), []string{"output"}),
		units:   prometheus.NewCounter(prometheus.CounterOpts(opts("received_units_total", "Access units received from edges."))),
		bytes:   prometheus.NewCounter(prometheus.CounterOpts(opts("received_bytes_total", "Payload bytes received from edges."))),
	}
	reg.MustRegister(m.tunnels, m.handshakes, m.viewers, m.units, m.bytes)
	return m
}

// gopCollector reports what the GOP caches hold, by asking when it is asked.
type gopCollector struct {
	streams *StreamServer
	bytes   *prometheus.Desc
	streamN *prometheus.Desc
}

func newGOPCollector(s *StreamServer) *gopCollector {
	return &gopCollector{
		streams: s,
		bytes:   prometheus.NewDesc("datastream_cloud_gop_bytes", "Payload bytes that the GOP caches hold.", nil, nil),
		streamN: prometheus.NewDesc("datastream_cloud_streams", "Streams, by state.", []string{"state"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *gopCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.bytes
	ch <- c.streamN
}

// Collect implements prometheus.Collector.
func (c *gopCollector) Collect(ch chan<- prometheus.Metric) {
	bytes, states := 0, make(map[string]int)
	for _, v := range c.streams.all() {
		status, _ := v.Status()
		states[status.State]++
		bytes += v.cached()
	}
	ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(bytes))
	for state, n := range states {
		ch <- prometheus.MustNewConstMetric(c.streamN, prometheus.GaugeValue, float64(n), state)
	}
}
