// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// streamStates are the values of the label state.
var streamStates = [...]string{
	stateAway, string(tunnel.Idle), string(tunnel.Connecting), string(tunnel.Streaming), string(tunnel.Paused), string(tunnel.Failed),
}

// streamCollector reports what the streams are, by asking them when it is asked: of all together, and of the first few each.
type streamCollector struct {
	streams *StreamServer
	most    int // how many are listed one by one

	states, stalled, congested, bytes, age, memory, connections, unlisted *prometheus.Desc

	state, wanted, viewers, connects, rtt, units, payload, gaps, failures, unitAge, gopAge, latency, ahead *prometheus.Desc
}

func newStreamCollector(s *StreamServer, most int) *streamCollector {
	all := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("datastream_cloud_"+name, help, labels, nil)
	}
	one := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("datastream_stream_"+name, help, append([]string{"namespace", "rule", "node", "path"}, labels...), nil)
	}
	return &streamCollector{
		streams: s, most: most,

		states:      all("streams", "Streams, by state.", "state"),
		stalled:     all("stalled_streams", "Streams that somebody watches and that have brought nothing for some seconds."),
		congested:   all("congested_streams", "Streams whose edge sends the substream since the path is too slow."),
		bytes:       all("gop_bytes", "Payload bytes that the GOP caches hold."),
		age:         all("gop_age_seconds", "Age of the oldest GOP cache of a stream that streams."),
		memory:      all("memory_bytes", "Bytes that GOP caches and outputs hold together, as they are bounded."),
		connections: all("viewer_connections", "Open connections of the viewers' port."),
		unlisted:    all("unlisted_streams", "Streams that have no metrics of their own, for there are too many."),

		state:    one("state", "1 for the stream's present state.", "state"),
		wanted:   one("wanted", "1 if a viewer or the control API wants the stream to run."),
		viewers:  one("viewers", "Viewers of the stream."),
		connects: one("tunnel_connects_total", "Tunnels of the stream that connected."),
		rtt:      one("tunnel_rtt_seconds", "Round-trip time of the stream's tunnel."),
		units:    one("received_units_total", "Access units received of the stream."),
		payload:  one("received_bytes_total", "Payload bytes received of the stream."),
		gaps:     one("gaps_total", "Times that units were missing within the stream."),
		failures: one("failures_total", "Times that the stream's camera was reported as failed."),
		unitAge:  one("last_unit_age_seconds", "Time since the stream's last access unit."),
		gopAge:   one("gop_age_seconds", "Age of the stream's GOP cache."),
		latency:  one("capture_latency_seconds", "Time that the newest picture took from the edge to the cloud, corrected for their clocks."),
		ahead:    one("clock_offset_seconds", "How far the clock of the stream's edge is ahead of the cloud's, estimated."),
	}
}

// Describe implements prometheus.Collector.
func (c *streamCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.states, c.stalled, c.congested, c.bytes, c.age, c.memory, c.connections, c.unlisted,
		c.state, c.wanted, c.viewers, c.connects, c.rtt, c.units, c.payload, c.gaps, c.failures, c.unitAge, c.gopAge, c.latency, c.ahead,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *streamCollector) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	videos := c.streams.all()
	slices.SortFunc(videos, func(a, b *VideoSession) int {
		return cmp.Or(cmp.Compare(a.key.Namespace, b.key.Namespace), cmp.Compare(a.key.Rule, b.key.Rule),
			cmp.Compare(a.key.Node, b.key.Node), cmp.Compare(a.key.Path, b.key.Path))
	})
	states := make(map[string]int, len(streamStates))
	stalled, congested, bytes, age := 0, 0, 0, time.Duration(0)
	for i, v := range videos {
		f := v.figures(now)
		states[f.state]++
		bytes += f.cached
		if f.stalled {
			stalled++
		}
		if f.congested {
			congested++
		}
		if f.state == string(tunnel.Streaming) {
			age = max(age, f.gopAge)
		}
		if i < c.most {
			c.collect(ch, &f)
		}
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, state := range streamStates {
		gauge(c.states, float64(states[state]), state)
	}
	gauge(c.stalled, float64(stalled))
	gauge(c.congested, float64(congested))
	gauge(c.bytes, float64(bytes))
	gauge(c.age, age.Seconds())
	gauge(c.memory, float64(c.streams.limits.memory.Used()))
	connections := 0
	if l := c.streams.limits.listener.Load(); l != nil {
		connections, _ = l.Open()
	}
	gauge(c.connections, float64(connections))
	gauge(c.unlisted, float64(max(len(videos)-c.most, 0)))
}

// collect reports one stream.
func (c *streamCollector) collect(ch chan<- prometheus.Metric, f *figures) {
	report := func(kind prometheus.ValueType, d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, append([]string{f.key.Namespace, f.key.Rule, f.key.Node, f.key.Path}, labels...)...)
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	wanted := 0.0
	if f.wanted {
		wanted = 1
	}
	report(gauge, c.state, 1, f.state)
	report(gauge, c.wanted, wanted)
	report(gauge, c.viewers, float64(f.viewers))
	report(counter, c.connects, float64(f.connects))
	report(counter, c.units, float64(f.units))
	report(counter, c.payload, float64(f.bytes))
	report(counter, c.gaps, float64(f.gaps))
	report(counter, c.failures, float64(f.failures))
	if f.session != nil {
		if rtt, _, ok := f.session.conn.RTT(); ok {
			report(gauge, c.rtt, rtt.Seconds())
		}
	}
	if f.unitAge >= 0 {
		report(gauge, c.unitAge, f.unitAge.Seconds())
	}
	if f.gopAge >= 0 {
		report(gauge, c.gopAge, f.gopAge.Seconds())
	}
	if f.pictured {
		report(gauge, c.latency, f.latency.Seconds())
		report(gauge, c.ahead, f.ahead.Seconds())
	}
}
