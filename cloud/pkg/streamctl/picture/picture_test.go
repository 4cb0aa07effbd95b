// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	ours "github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4/cliptest"
)

func TestSnapshot(t *testing.T) {
	for _, name := range []string{"clock", "clock-bframes", "clock-h265"} {
		t.Run(name, func(t *testing.T) {
			one, err := Snapshot(bytes.NewReader(stream(t, name)))
			if err != nil {
				t.Fatal(err)
			}
			var init fmp4.Init
			if err := init.Unmarshal(bytes.NewReader(one)); err != nil {
				t.Error(err)
			}
			var parts fmp4.Parts
			if err := parts.Unmarshal(one); err != nil || len(parts) != 1 || len(parts[0].Tracks) != 1 || len(parts[0].Tracks[0].Samples) != 1 {
				t.Fatalf("%v, %v", parts, err)
			}
			if track := parts[0].Tracks[0]; track.BaseTime != 0 || track.Samples[0].IsNonSyncSample {
				t.Errorf("%+v", track.Samples[0])
			}
		})
	}
}

func TestNoSnapshot(t *testing.T) {
	whole := stream(t, "clock")
	for name, data := range map[string][]byte{"nothing": nil, "no MP4": []byte("<html><body>not at all</body>"), "cut": whole[:len(whole)/1000]} {
		if _, err := Snapshot(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMeasure(t *testing.T) {
	for name, want := range map[string]time.Duration{"clock": 2 * time.Second, "clock-gop10s": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			m, err := Measure(bytes.NewReader(stream(t, name)), time.Now(), func(*Measurement) bool { return false })
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			if m.KeyFrameInterval != want || m.OnlyLonger || m.Rate < 24.9 || m.Rate > 25.1 || !m.Video || !m.Sound {
				t.Errorf("%+v", m)
			}
		})
	}
}

// stream is a clip as the StreamServer sends it.
func stream(t testing.TB, name string) []byte {
	t.Helper()
	clip := cliptest.Load(t, name+".mp4")
	m, err := ours.NewMuxer(clip.Tracks)
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.Clone(m.Init())
	for _, u := range clip.Units {
		fragment, err := m.Fragment(u)
		if err != nil {
			t.Fatal(err)
		}
		whole = append(whole, fragment...)
	}
	return whole
}

func FuzzReader(f *testing.F) {
	whole := stream(f, "clock-bframes")
	f.Add(whole[:64<<10])
	f.Add([]byte("\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov\x00\x00\x00\x08moof\x00\x00\x00\x08mdat"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = Measure(bytes.NewReader(data), time.Now(), func(*Measurement) bool { return false })
	})
}
