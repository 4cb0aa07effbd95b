// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package camera

import "testing"

func TestTraffic(t *testing.T) {
	l := Traffic{BitRate: 1_000_000, FrameRate: 30, GOP: 60, KeyFactor: 10, Disposable: true}
	clip, err := l.Clip()
	if err != nil {
		t.Fatal(err)
	}
	units, bytes, last := clip.Tracks[0].Units, 0, uint32(0)
	for i, u := range units {
		nalu := u.Payload[len(u.Payload)-1]
		bytes += len(nalu)
		m, err := ParseMark(nalu)
		if err != nil || m.Frame != uint32(i) {
			t.Fatalf("frame %d has mark %+v, %v", i, m, err)
		}
		if u.RandomAccess {
			last = m.Frame
		}
		if m.Reference != last {
			t.Fatalf("frame %d refers to %d, want %d", i, m.Reference, last)
		}
		if i%2 == 0 {
			last = m.Frame
		}
	}
	if rate := float64(bytes) * 8 / clip.Tracks[0].Period.Seconds(); rate < 0.98e6 || rate > 1e6 {
		t.Errorf("%.0f bit/s", rate)
	}
}
