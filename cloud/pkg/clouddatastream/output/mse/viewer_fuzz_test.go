// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package mse

import (
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/tests/scripted"
)

// FuzzViewer is a viewer that talks, in whatever frames. The server does not listen, and keeps nothing.
func FuzzViewer(f *testing.F) {
	frame := scripted.Frame
	f.Add(frame(0x81, 14, []byte(`{"type":"mse"}`)))
	f.Add(frame(0x82, 1<<32, []byte("x")))
	f.Add(append(frame(0x89, 4, []byte("ping")), frame(0x88, 2, []byte("\x03\xe8"))...))
	f.Add(append(frame(0x01, 1, []byte("x")), frame(0x80, 4096, []byte("y"))...))
	f.Add(frame(0x8a, 0, nil))
	cfg := output.Config{MaxBytes: 1 << 20, MaxLag: time.Second, WriteTimeout: time.Second, Metrics: output.NewMetrics(prometheus.NewRegistry())}
	f.Fuzz(func(t *testing.T, words []byte) {
		v := newViewer(New(nil, cfg).(*Output), scripted.WebSocket(t, words), nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v.read() // returns at the end of the words at the latest
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20+64*uint64(len(words)) {
			t.Errorf("%d bytes made us allocate %d", len(words), allocated)
		}
	})
}
