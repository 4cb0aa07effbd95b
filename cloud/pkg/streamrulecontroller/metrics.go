// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	outOfDate prometheus.Gauge
	sends     prometheus.Counter
	statuses  *prometheus.CounterVec
	queued    *prometheus.Desc
}

func newMetrics() *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "datastream", Subsystem: "controller", Name: name, Help: help}
	}
	m := &metrics{
		outOfDate: prometheus.NewGauge(prometheus.GaugeOpts(
			opts("nodes_out_of_date", "Nodes that have not reported the revision of their assignment."))),
		sends: prometheus.NewCounter(prometheus.CounterOpts(
			opts("assignments_sent_total", "Assignments sent to nodes, also those sent again."))),
		statuses: prometheus.NewCounterVec(prometheus.CounterOpts(
			opts("status_writes_total", "Attempts to write the status of a rule or endpoint, by result: ok, conflict, error.")), []string{"result"}),
		queued: prometheus.NewDesc("datastream_controller_queued", "Keys that wait in the controller's queues.", []string{"queue"}, nil),
	}
	for _, result := range []string{"ok", "conflict", "error"} {
		m.statuses.WithLabelValues(result) // there before it counts
	}
	return m
}

func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.outOfDate.Describe(ch)
	m.sends.Describe(ch)
	m.statuses.Describe(ch)
}

func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.outOfDate.Collect(ch)
	m.sends.Collect(ch)
	m.statuses.Collect(ch)
}
