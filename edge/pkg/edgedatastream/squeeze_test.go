// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"testing"
	"time"
)

// Small streams never fill a wide path, so nothing measures it. What was measured while it was narrow must not have them drop pictures
// for ever.
func TestSqueezeIsForgotten(t *testing.T) {
	const narrow, wide = 64_000.0 / 8, 160 * mbit
	for _, camera := range []float64{0.05 * mbit, 0.1 * mbit, 0.8 * mbit} {
		s := &sim{rate: wide, delay: 1, limit: 256 << 10}
		for range 8 {
			s.add(camera, true)
		}
		for _, phase := range []struct {
			rate float64
			time time.Duration
		}{{wide, 5 * time.Second}, {narrow, 30 * time.Second}, {wide, 3 * simRecovery}} {
			s.rate = phase.rate
			s.run(t, phase.time)
		}
		for _, c := range s.cameras {
			c.phase()
		}
		s.run(t, 5*time.Second)
		for _, c := range s.cameras {
			c.report.whole(t)
		}
	}
}
