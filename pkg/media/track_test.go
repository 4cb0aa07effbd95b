// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"math"
	"strings"
	"testing"
	"time"
)

// Parameter sets of a 352x288 H.264 and a 1920x1080 H.265 stream.
var (
	sps264 = []byte{
		0x67, 0x64, 0x00, 0x0c, 0xac, 0x3b, 0x50, 0xb0, 0x4b, 0x42, 0x00,
		0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03, 0x00, 0x3d, 0x08,
	}
	pps264 = []byte{0x68, 0xee, 0x3c, 0x80}
	vps265 = []byte{0x40, 0x01, 0x0c, 0x01}
	sps265 = []byte{
		0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x78, 0xa0, 0x03, 0xc0,
		0x80, 0x10, 0xe5, 0x96, 0x66, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80,
	}
	pps265 = []byte{0x44, 0x01, 0xc1, 0x72}
)

func h264Track() Track {
	return Track{ID: 1, Kind: Video, Codec: H264, ClockRate: 90000, SPS: sps264, PPS: pps264}
}

func h265Track() Track {
	return Track{ID: 1, Kind: Video, Codec: H265, ClockRate: 90000, VPS: vps265, SPS: sps265, PPS: pps265}
}

func aacTrack() Track {
	return Track{ID: 2, Kind: Audio, Codec: AAC, ClockRate: 48000, Config: []byte{0x11, 0x90}}
}

func TestTrackValidate(t *testing.T) {
	for _, c := range []struct {
		name  string
		track Track
		edit  func(*Track)
		want  string // part of the error; empty: none
	}{
		{"H.264", h264Track(), nil, ""},
		{"H.265", h265Track(), nil, ""},
		{"AAC", aacTrack(), nil, ""},
		{"Opus", Track{Kind: Audio, Codec: Opus, ClockRate: 48000, Channels: 2}, nil, ""},
		{"PCMA", Track{Kind: Audio, Codec: PCMA, ClockRate: 8000, Channels: 1}, nil, ""},
		{"PCMU", Track{Kind: Audio, Codec: PCMU, ClockRate: 8000, Channels: 8}, nil, ""},
		{"data", Track{Kind: Data, Codec: Opaque, ClockRate: 1000, Format: "application/json"}, nil, ""},
		{"no clock", h264Track(), func(t *Track) { t.ClockRate = 0 }, "clock rate"},
		{"negative clock", h264Track(), func(t *Track) { t.ClockRate = -1 }, "clock rate"},
		{"fast clock", h264Track(), func(t *Track) { t.ClockRate = 1_000_000_001 }, "clock rate"},
		{"no codec", Track{Kind: Video, ClockRate: 1}, nil, "unknown codec"},
		{"unknown codec", Track{Kind: Video, Codec: "mjpeg", ClockRate: 1}, nil, "unknown codec"},
		{"H.264 as audio", h264Track(), func(t *Track) { t.Kind = Audio }, "kind"},
		{"AAC as video", aacTrack(), func(t *Track) { t.Kind = Video }, "kind"},
		{"AAC without a rate", aacTrack(), func(t *Track) { t.Config = []byte{0x17, 0x80, 0, 0, 0x10} }, "sample rate"},
		{"Opaque without a kind", Track{Codec: Opaque, ClockRate: 1}, nil, "kind"},
		{"H.264 without SPS", h264Track(), func(t *Track) { t.SPS = nil }, "SPS"},
		{"H.264 with half an SPS", h264Track(), func(t *Track) { t.SPS = t.SPS[:6] }, "SPS"},
		{"H.264 with a PPS as SPS", h264Track(), func(t *Track) { t.SPS = t.PPS }, "SPS"},
		{"H.264 without PPS", h264Track(), func(t *Track) { t.PPS = nil }, "PPS"},
		{"H.265 with an SPS of H.264", h265Track(), func(t *Track) { t.SPS = sps264 }, "SPS"},
		{"H.265 without VPS", h265Track(), func(t *Track) { t.VPS = nil }, "VPS"},
		{"H.265 without PPS", h265Track(), func(t *Track) { t.PPS = nil }, "PPS"},
		{"AAC without config", aacTrack(), func(t *Track) { t.Config = nil }, "AudioSpecificConfig"},
		{"Opus without channels", Track{Kind: Audio, Codec: Opus, ClockRate: 48000}, nil, "channels"},
		{"PCMU of 9 channels", Track{Kind: Audio, Codec: PCMU, ClockRate: 8000, Channels: 9}, nil, "channels"},
		{"long PPS", h264Track(), func(t *Track) { t.PPS = make([]byte, maxParameterSet+1) }, "longer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.edit != nil {
				c.edit(&c.track)
			}
			err := c.track.Validate()
			if c.want == "" && err != nil {
				t.Errorf("got %v, want no error", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got error %v, want one about %q", err, c.want)
			}
		})
	}
}

func TestValidateTracks(t *testing.T) {
	if err := ValidateTracks([]Track{h264Track(), aacTrack()}); err != nil {
		t.Error(err)
	}
	many := make([]Track, MaxTracks+1)
	for i := range many {
		many[i] = aacTrack()
		many[i].ID = uint8(i)
	}
	if err := ValidateTracks(many[:MaxTracks]); err != nil {
		t.Error(err)
	}
	for name, tracks := range map[string][]Track{
		"none":     nil,
		"too many": many,
		"one ID":   {h264Track(), h265Track()},
		"one bad":  {h264Track(), {ID: 2}},
	} {
		if ValidateTracks(tracks) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTrackSize(t *testing.T) {
	broken := h264Track()
	broken.SPS = broken.SPS[:4]
	for _, c := range []struct {
		track         Track
		width, height int
	}{
		{h264Track(), 352, 288},
		{h265Track(), 1920, 1080},
		{aacTrack(), 0, 0},
		{broken, 0, 0},
		{Track{Codec: H265}, 0, 0},
	} {
		if w, h := c.track.Size(); w != c.width || h != c.height {
			t.Errorf("%s: got %dx%d, want %dx%d", c.track.Codec, w, h, c.width, c.height)
		}
	}
}

func TestTicksAndDuration(t *testing.T) {
	const days = 24 * time.Hour
	for _, c := range []struct {
		rate  int
		ticks int64
		d     time.Duration
	}{
		{90000, 0, 0},
		{90000, 90000, time.Second},
		{90000, 3000, 33333333 * time.Nanosecond},
		{90000, -45000, -500 * time.Millisecond},
		{48000, 1024, 21333333 * time.Nanosecond},
		{8000, 160, 20 * time.Millisecond},
		{1, 7, 7 * time.Second},
		{1_000_000_000, 7, 7},
		{90000, 90000 * 86400 * 20000, 20000 * days}, // a product that overflows if it is made in one step
	} {
		tr := Track{ClockRate: c.rate}
		if got := tr.Duration(c.ticks); got != c.d {
			t.Errorf("%d ticks of %d Hz: got %v, want %v", c.ticks, c.rate, got, c.d)
		}
		if got := tr.Ticks(c.d); got-c.ticks > 1 || got-c.ticks < -1 {
			t.Errorf("%v at %d Hz: got %d ticks, want %d", c.d, c.rate, got, c.ticks)
		}
	}
}

func TestLeadAndFind(t *testing.T) {
	video, audio := h264Track(), aacTrack()
	for _, c := range []struct {
		tracks []Track
		want   uint8
	}{
		{[]Track{audio, video}, video.ID},
		{[]Track{video, audio}, video.ID},
		{[]Track{audio}, audio.ID},
	} {
		if got := Lead(c.tracks); got == nil || got.ID != c.want {
			t.Errorf("lead of %v: got %v, want track %d", c.tracks, got, c.want)
		}
	}
	if Lead(nil) != nil || Find(nil, 1) != nil || Find([]Track{video}, 2) != nil {
		t.Error("found a track where there is none")
	}
	tracks := []Track{video, audio}
	if got := Find(tracks, 2); got != &tracks[1] {
		t.Errorf("got %v, want the second track", got)
	}
}

// FuzzTrack lets a peer choose the parameter sets: whatever passes Validate must be safe to use.
func FuzzTrack(f *testing.F) {
	f.Add([]byte(nil), sps264, pps264)
	f.Add(vps265, sps265, pps265)
	f.Add([]byte{0x11, 0x90}, []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, vps, sps, pps []byte) {
		for _, tr := range []Track{
			{Kind: Video, Codec: H264, ClockRate: 90000, SPS: sps, PPS: pps},
			{Kind: Video, Codec: H265, ClockRate: 90000, VPS: vps, SPS: sps, PPS: pps},
			{Kind: Audio, Codec: AAC, ClockRate: 48000, Config: vps},
		} {
			if tr.Validate() != nil {
				continue
			}
			w, h := tr.Size()
			if tr.Kind == Video && (w < 1 || h < 1 || w > math.MaxUint16 || h > math.MaxUint16) {
				t.Errorf("%s: a picture of %dx%d passed", tr.Codec, w, h)
			}
		}
	})
}
