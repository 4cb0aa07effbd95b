// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// The states of a path, as congestion control sees it.
const (
	pathUnmeasured = "unmeasured"
	pathFree       = "free"
	pathQueueing   = "queueing"
	pathStalled    = "stalled"
	pathStarved    = "starved"
)

// streamCollector reports what the streams are, by asking them when it is asked.
type streamCollector struct {
	states, paths, inflight, gop *prometheus.Desc

	mu  sync.Mutex
	all map[*stream]struct{}
}

func newStreamCollector() *streamCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("datastream_edge_"+name, help, labels, nil)
	}
	return &streamCollector{
		states:   desc("streams", "The node's streams, by state.", "state"),
		paths:    desc("paths", "Tunnels, by what congestion control sees of their path.", "state"),
		inflight: desc("inflight_bytes", "Payload bytes that were sent and are not acknowledged."),
		gop:      desc("gop_bytes", "Payload bytes that the GOP caches hold."),
		all:      make(map[*stream]struct{}),
	}
}

func (c *streamCollector) add(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[s] = struct{}{}
}

func (c *streamCollector) remove(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, s)
}

// Describe implements prometheus.Collector.
func (c *streamCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.states, c.paths, c.inflight, c.gop} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *streamCollector) Collect(ch chan<- prometheus.Metric) {
	states := map[string]int{
		string(tunnel.Idle): 0, string(tunnel.Connecting): 0, string(tunnel.Streaming): 0, string(tunnel.Paused): 0, string(tunnel.Failed): 0,
	}
	paths := map[string]int{pathUnmeasured: 0, pathFree: 0, pathQueueing: 0, pathStalled: 0, pathStarved: 0}
	inflight, gop := 0, 0
	now := time.Now()
	for _, s := range c.list() {
		f := s.figures(now)
		states[string(f.state)]++
		if f.path != "" {
			paths[f.path]++
		}
		inflight += f.inflight
		gop += f.gop
	}
	gauge := func(d *prometheus.Desc, value int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	for state, n := range states {
		gauge(c.states, n, state)
	}
	for state, n := range paths {
		gauge(c.paths, n, state)
	}
	gauge(c.inflight, inflight)
	gauge(c.gop, gop)
}

func (c *streamCollector) list() []*stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*stream, 0, len(c.all))
	for s := range c.all {
		all = append(all, s)
	}
	return all
}

// figures are what there is to say of a stream when somebody asks.
type figures struct {
	state         tunnel.StreamState
	path          string // empty without a tunnel
	inflight, gop int    // bytes
}

func (s *stream) figures(now time.Time) figures {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	f := figures{state: s.source.State, gop: s.gop.Bytes()}
	if f.state == tunnel.Streaming && !s.sending() {
		f.state = tunnel.Paused // as it is reported
	}
	switch {
	case !s.attached:
	case s.path == nil:
		f.path = pathUnmeasured
	case s.path.Stalled(now):
		f.path = pathStalled
	case s.path.Starved(now):
		f.path = pathStarved
	case s.path.Queueing() > queueFree:
		f.path = pathQueueing
	default:
		f.path = pathFree
	}
	if s.path != nil {
		f.inflight = s.path.InFlight()
	}
	return f
}
