// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package output

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestMeter(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	meter := m.Meter("mp4")
	meter.Delivered(3, time.Time{}) // from the cache
	for range latencyEvery {
		meter.Delivered(1, time.Now().Add(-time.Second))
	}
	var units, latency dto.Metric
	if err := m.Units.WithLabelValues("mp4").Write(&units); err != nil {
		t.Fatal(err)
	}
	if err := m.Latency.WithLabelValues("mp4").(prometheus.Histogram).Write(&latency); err != nil {
		t.Fatal(err)
	}
	if n := units.GetCounter().GetValue(); n != 3+latencyEvery {
		t.Errorf("%v units, want %d", n, 3+latencyEvery)
	}
	if h := latency.GetHistogram(); h.GetSampleCount() != 1 || h.GetSampleSum() < 1 {
		t.Errorf("%d observations of %v s in all, want one of at least 1 s", h.GetSampleCount(), h.GetSampleSum())
	}
	if n := testing.AllocsPerRun(100, func() {
		meter.Wrote(1000)
		meter.Delivered(1, time.Now())
	}); n != 0 {
		t.Errorf("a write allocates %v times", n)
	}
}

// BenchmarkMeter is what a write to a viewer costs in metrics, with viewers of one output writing at once.
func BenchmarkMeter(b *testing.B) {
	m := NewMetrics(prometheus.NewRegistry())
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		meter, received := m.Meter("mp4"), time.Now()
		for pb.Next() {
			meter.Wrote(16000)
			meter.Delivered(1, received)
		}
	})
}
