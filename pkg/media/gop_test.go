// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"slices"
	"testing"
	"time"
)

const videoID, audioID = 1, 2

var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// pushed names one unit: 'I' and 'P' are video, 'a' is audio.
func pushed(kind byte, sequence, size int, at time.Duration) *AccessUnit {
	u := &AccessUnit{Track: videoID, Sequence: uint64(sequence), Payload: make([]byte, size), Capture: epoch.Add(at)}
	switch kind {
	case 'I':
		u.RandomAccess = true
	case 'a':
		u.Track, u.RandomAccess = audioID, true
	}
	return u
}

func sequences(units []*AccessUnit) []uint64 {
	out := []uint64{}
	for _, u := range units {
		out = append(out, u.Sequence)
	}
	return out
}

func TestGOP(t *testing.T) {
	const frame = 100 * time.Millisecond
	for _, c := range []struct {
		name     string
		units    string
		lead     uint8
		size     int
		bytes    int
		duration time.Duration
		want     []uint64
	}{
		{"nothing", "", videoID, 10, 1 << 20, time.Hour, []uint64{}},
		{"before the first random access point", "PaPa", videoID, 10, 1 << 20, time.Hour, []uint64{}},
		{"from the random access point on", "PaIaPP", videoID, 10, 1 << 20, time.Hour, []uint64{3, 4, 5, 6}},
		{"the newest one counts", "IaPaIaP", videoID, 10, 1 << 20, time.Hour, []uint64{5, 6, 7}},
		{"audio's do not count beside video", "IaaaP", videoID, 10, 1 << 20, time.Hour, []uint64{1, 2, 3, 4, 5}},
		{"audio only", "aaaa", audioID, 10, 1 << 20, time.Hour, []uint64{4}},
		{"up to MaxBytes", "IPP", videoID, 1000, 3 * (1000 + unitOverhead), time.Hour, []uint64{1, 2, 3}},
		{"over MaxBytes", "IPPP", videoID, 1000, 3 * (1000 + unitOverhead), time.Hour, []uint64{}},
		{"over MaxBytes, its tail", "IPPPPa", videoID, 1000, 3 * (1000 + unitOverhead), time.Hour, []uint64{}},
		{"over MaxBytes, the next GOP", "IPPPPIa", videoID, 1000, 3 * (1000 + unitOverhead), time.Hour, []uint64{6, 7}},
		{"one unit over MaxBytes", "I", videoID, 1000, 1000, time.Hour, []uint64{}},
		{"tiny units take room too", "IPPPP", videoID, 1, 4 * unitOverhead, time.Hour, []uint64{}},
		{"up to MaxDuration", "IPPP", videoID, 10, 1 << 20, 3 * frame, []uint64{1, 2, 3, 4}},
		{"over MaxDuration", "IPPPP", videoID, 10, 1 << 20, 3 * frame, []uint64{}},
		{"over MaxDuration, the next GOP", "IPPPPPI", videoID, 10, 1 << 20, 3 * frame, []uint64{7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := GOP{MaxBytes: c.bytes, MaxDuration: c.duration}
			for i := range len(c.units) {
				g.Push(pushed(c.units[i], i+1, c.size, time.Duration(i)*frame), c.lead)
			}
			if got := sequences(g.Units()); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if got, want := g.Bytes(), len(c.want)*c.size; got != want {
				t.Errorf("got %d bytes, want %d", got, want)
			}
		})
	}
}

func TestGOPReset(t *testing.T) {
	g := GOP{MaxBytes: 1 << 20, MaxDuration: time.Hour}
	g.Push(pushed('I', 1, 10, 0), videoID)
	kept := g.Units()[:1]
	g.Reset()
	if len(g.Units()) != 0 || g.Bytes() != 0 {
		t.Error("Reset left something")
	}
	if kept[0] != nil {
		t.Error("Reset keeps the units alive")
	}
	g.Push(pushed('P', 2, 10, 0), videoID)
	if len(g.Units()) != 0 {
		t.Error("a unit that cannot be decoded was cached")
	}
}

// A camera's clock that is set back must not keep the cache from working.
func TestGOPCaptureGoesBack(t *testing.T) {
	g := GOP{MaxBytes: 1 << 20, MaxDuration: time.Second}
	g.Push(pushed('I', 1, 10, time.Hour), videoID)
	g.Push(pushed('P', 2, 10, 0), videoID)
	g.Push(pushed('I', 3, 10, 0), videoID)
	g.Push(pushed('P', 4, 10, time.Second), videoID)
	if got := sequences(g.Units()); !slices.Equal(got, []uint64{3, 4}) {
		t.Errorf("got %v, want [3 4]", got)
	}
}
