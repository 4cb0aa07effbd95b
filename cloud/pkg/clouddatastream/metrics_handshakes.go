// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import "github.com/prometheus/client_golang/prometheus"

// Values of the label outcome of handshakes.
const (
	handshakeAdmitted = "admitted" // at once
	handshakeDelayed  = "delayed"  // it waited for its turn
	handshakeRefused  = "refused"  // with an HTTP answer that says when to come again
	handshakeDropped  = "dropped"
)

// handshakeMetrics are those of one port.
type handshakeMetrics struct {
	outcomes *prometheus.CounterVec // by outcome
	waiting  prometheus.Gauge
}

// newHandshakeMetrics makes and registers those of a subsystem, whose port is for peers.
func newHandshakeMetrics(reg prometheus.Registerer, subsystem, peers string) handshakeMetrics {
	m := handshakeMetrics{
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "datastream", Subsystem: subsystem, Name: "handshakes_total",
			Help: "TLS handshakes that " + peers + " began, by outcome: admitted at once, delayed to spread them, refused with 503, dropped.",
		}, []string{"outcome"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "datastream", Subsystem: subsystem, Name: "waiting_handshakes", Help: "TLS handshakes of " + peers + " that wait for their turn.",
		}),
	}
	reg.MustRegister(m.outcomes, m.waiting)
	for _, outcome := range []string{handshakeAdmitted, handshakeDelayed, handshakeRefused, handshakeDropped} {
		m.outcomes.WithLabelValues(outcome) // there before it counts, as in metrics.zero
	}
	return m
}
