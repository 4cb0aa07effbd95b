// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package camera

import (
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	for _, tc := range []struct {
		name         string
		video, audio string
		period       time.Duration
		gop          int
	}{
		{Clock, "H264", "MPEG-4 Audio", 16 * time.Second, 50},
		{ClockBFrame, "H264", "MPEG-4 Audio", 8 * time.Second, 50},
		{ClockGOP10s, "H264", "MPEG-4 Audio", 20 * time.Second, 250},
		{ClockH265, "H265", "Opus", 8 * time.Second, 50},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clip := load(t, tc.name)
			if n := len(clip.Tracks); n != 2 {
				t.Fatalf("%d tracks", n)
			}
			for i, codec := range []string{tc.video, tc.audio} {
				track := clip.Tracks[i]
				if got := track.Format.Codec(); got != codec {
					t.Errorf("track %d is %s, want %s", i, got, codec)
				}
				// A period that is off by a frame would be a gap, or an overlap, at each turn.
				if track.Period != tc.period {
					t.Errorf("period of %s is %v, want %v", codec, track.Period, tc.period)
				}
			}
			seen := map[int64]bool{}
			for i, u := range clip.Tracks[0].Units {
				if want := i%tc.gop == 0; u.RandomAccess != want {
					t.Errorf("unit %d: random access %t, want %t", i, u.RandomAccess, want)
				}
				if u.PTS < u.DTS || u.PTS < 0 || u.PTS >= ticks(tc.period, 90000) || seen[u.PTS] {
					t.Errorf("unit %d: PTS %d, DTS %d", i, u.PTS, u.DTS)
				}
				seen[u.PTS] = true
			}
		})
	}
}

func TestLoadUnknownName(t *testing.T) {
	if _, err := Load("nothing"); err == nil {
		t.Error("no error")
	}
}

func TestParseRejectsGarbage(t *testing.T) {
	for _, data := range [][]byte{[]byte("not an MP4 file at all"), {0, 0, 0, 8, 'm', 'o', 'o', 'f'}} {
		if _, err := Parse(data); err == nil {
			t.Errorf("no error for %q", data)
		}
	}
}

func TestTicks(t *testing.T) {
	const year = 365 * 24 * time.Hour
	if got, want := ticks(year, 90000), int64(365*24*3600*90000); got != want {
		t.Errorf("ticks %d, want %d", got, want)
	}
	if got := duration(ticks(year, 48000), 48000); got != year {
		t.Errorf("duration %v, want %v", got, year)
	}
}

func TestNTP(t *testing.T) {
	// Half a second after 1970-01-01, which is 2208988800 s after 1900-01-01.
	if got, want := ntp(time.Unix(0, 5e8)), uint64(2208988800)<<32|1<<31; got != want {
		t.Errorf("%x, want %x", got, want)
	}
}

func load(t testing.TB, name string) *Clip {
	t.Helper()
	clip, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return clip
}
