// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/pkg/instrument"
)

// Values of the label cause: why a unit that has arrived goes nowhere.
const (
	dropStopped   = "stopped"   // it was under way when the edge was told to stop
	dropDuplicate = "duplicate" // it was sent again after a reconnection
	dropReference = "reference" // it refers to a unit that is not there
)

// Values of the label kind of connects.
const (
	connectFirst    = "first"
	connectAgain    = "reconnect"
	connectTakeover = "takeover" // the tunnel before was still there
)

// Values of the label reason of ends.
const (
	endClosed    = "closed" // by the edge
	endLost      = "lost"
	endFenced    = "fenced"
	endMalformed = "malformed"
	endServer    = "server" // by this side
)

// failureReasons are those that edges report. They come from outside, so that others are counted as one.
var failureReasons = [...]string{
	"AuthenticationFailed", "CertificateInvalid", "ConnectionRefused", "CredentialsMissing", "Disconnected", "InvalidEndpoint", "NoPicture", "NoSupportedTracks",
	"NotFound", "RequestRefused", "Stalled", "Timeout", "Unreachable", "SourceError",
}

const otherReason = "Other"

// metrics are the module's own; outputs have theirs. What is counted for each unit is looked up once, here.
type metrics struct {
	tunnels    prometheus.Gauge
	connects   *prometheus.CounterVec // by kind
	ends       *prometheus.CounterVec // by reason
	rtt        prometheus.Histogram
	handshakes handshakeMetrics       // of edges
	refusals   *prometheus.CounterVec // by reason
	viewers    *prometheus.GaugeVec   // by output

	units, bytes                           instrument.ByKind
	dropStopped, dropDuplicate, dropBroken instrument.ByKind
	gaps, overflows                        prometheus.Counter
	capture, gop                           prometheus.Histogram
	failures                               map[string]prometheus.Counter // by reason

	outputFailures *prometheus.CounterVec // by output
	reviews        *prometheus.CounterVec // by kind and result
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := factory{reg}
	units := f.counters("received_units_total", "Access units that came from edges and went into their streams.", instrument.KindLabel)
	bytes := f.counters("received_bytes_total", "Payload bytes of the same.", instrument.KindLabel)
	drops := f.counters("dropped_units_total",
		"Access units from edges that went nowhere: under way when the stream was stopped, duplicate, or without the unit that they refer to.", "cause", instrument.KindLabel)
	dropped := func(cause string) instrument.ByKind {
		return instrument.NewByKind(drops, prometheus.Labels{"cause": cause})
	}
	failures := f.counters("stream_failures_total", "Cameras that were reported as failed, by class.", "reason")
	m := &metrics{
		tunnels:  f.gauge("tunnels", "Tunnels that are connected."),
		connects: f.counters("tunnel_connects_total", "Tunnels that connected: a stream's first one, one behind an end, one while the older was still there.", "kind"),
		ends: f.counters("tunnel_ends_total",
			"Tunnels that ended: closed by the edge, lost, replaced by a newer one, against the protocol, ended by this side.", "reason"),
		rtt:        f.histogram("tunnel_rtt_seconds", "Round-trip time of tunnels, once a second for each that delivers.", rttBuckets),
		handshakes: newHandshakeMetrics(reg, "cloud", "edges"),
		refusals:   f.counters("refused_tunnels_total", "Requests of edges that were refused, and tunnels that were cut off.", "reason"),
		viewers:    prometheus.NewGaugeVec(prometheus.GaugeOpts(f.opts("viewers", "Viewers, by output.")), []string{"output"}),

		units: instrument.NewByKind(units, nil), bytes: instrument.NewByKind(bytes, nil),
		dropStopped: dropped(dropStopped), dropDuplicate: dropped(dropDuplicate), dropBroken: dropped(dropReference),
		gaps:      f.counter("gaps_total", "Times that units were missing within a stream."),
		overflows: f.counter("gop_overflows_total", "GOPs that outgrew the bounds of the cache."),
		capture:   f.histogram("capture_latency_seconds", "Time from a picture's arrival at the edge to that at the cloud, corrected for their clocks.", latencyBuckets),
		gop:       f.histogram("gop_seconds", "Time between two random access points of a stream.", []float64{.25, .5, 1, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 60}),
		failures:  make(map[string]prometheus.Counter),

		outputFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "datastream", Subsystem: "output", Name: "failures_total", Help: "Outputs that ended because they could not go on.",
		}, []string{"output"}),
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "datastream", Subsystem: "viewer", Name: "reviews_total", Help: "Requests to the API server about viewers: whose token it is, and what they may do.",
		}, []string{"kind", "result"}),
	}
	reg.MustRegister(m.viewers, m.outputFailures, m.reviews)
	for _, reason := range append(failureReasons[:], otherReason) {
		m.failures[reason] = failures.WithLabelValues(reason)
	}
	m.zero()
	return m
}

// zero has counters there before they count: a rate over one that appears misses its first step.
func (m *metrics) zero() {
	for vec, values := range map[*prometheus.CounterVec][]string{
		m.connects: {connectFirst, connectAgain, connectTakeover},
		m.ends:     {endClosed, endLost, endFenced, endMalformed, endServer},
		m.refusals: {
			refusedCertificate, refusedNode, refusedDeleted, refusedRevoked, refusedExpired, refusedTarget, refusedRequest, refusedHello,
			refusedTooMany, refusedConnection,
		},
	} {
		for _, value := range values {
			vec.WithLabelValues(value)
		}
	}
	for _, kind := range []string{reviewToken, reviewAccess} {
		for _, result := range []string{reviewYes, reviewNo, reviewError} {
			m.reviews.WithLabelValues(kind, result)
		}
	}
}

// known has the metrics of outputs there before the first viewer.
func (m *metrics) known(outputs []string) {
	for _, name := range outputs {
		m.viewers.WithLabelValues(name)
		m.outputFailures.WithLabelValues(name)
	}
}

// refuse counts why a node was not let in or was cut off, if err is a refusal.
func (m *metrics) refuse(err error) {
	var r *refusal
	if errors.As(err, &r) {
		m.refusals.WithLabelValues(r.reason).Inc()
	}
}

// ended counts why a session, whose run returned err, is over.
func (m *metrics) ended(s *Session, err error) {
	s.ended(endReason(err)) // if it never began
	m.ends.WithLabelValues(*s.reason.Load()).Inc()
}

// Bounds of histograms, in seconds.
var (
	rttBuckets     = []float64{.001, .0025, .005, .01, .025, .05, .1, .2, .3, .5, .75, 1, 2, 5}
	latencyBuckets = []float64{.005, .01, .025, .05, .1, .15, .25, .5, .75, 1, 1.5, 2, 3, 5, 10, 30}
)

// factory makes metrics of the subsystem cloud and registers them.
type factory struct{ reg prometheus.Registerer }

func (factory) opts(name, help string) prometheus.Opts {
	return prometheus.Opts{Namespace: "datastream", Subsystem: "cloud", Name: name, Help: help}
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts(f.opts(name, help)))
	f.reg.MustRegister(g)
	return g
}

func (f factory) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts(f.opts(name, help)))
	f.reg.MustRegister(c)
	return c
}

func (f factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts(f.opts(name, help)), labels)
	f.reg.MustRegister(v)
	return v
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "datastream", Subsystem: "cloud", Name: name, Help: help, Buckets: buckets})
	f.reg.MustRegister(h)
	return h
}

// maxScrapes bounds who gathers at once: gathering asks every stream.
const maxScrapes = 4

// metricsHandler serves what g gathers.
func metricsHandler(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}

// timed has it measured how long the viewer of r, who has been attached, waits for the first picture.
func (s *StreamServer) timed(r *http.Request, video *VideoSession, viewer *attached, format string) *http.Request {
	start, arrived := output.Cold, viewerauth.From(r.Context()).Arrived
	if runs, _ := video.ready(viewer, time.Now()); runs {
		start = output.Warm
	}
	picture := s.session.output.Metrics.FirstPicture.WithLabelValues(format, start)
	return r.WithContext(output.WithFirstPicture(r.Context(), func() { picture.Observe(time.Since(arrived).Seconds()) }))
}
