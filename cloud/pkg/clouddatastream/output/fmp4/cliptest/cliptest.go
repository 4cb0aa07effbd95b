// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cliptest turns the clips of tests/testdata into tracks and access units, for tests of outputs.
package cliptest

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4"

	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/tests/testdata"
)

// Names of the clips.
const (
	H264    = "clock.mp4"         // with AAC
	BFrames = "clock-bframes.mp4" // H.264 with B-frames, and AAC
	H265    = "clock-h265.mp4"    // with Opus
)

// Clip is a stream of some seconds.
type Clip struct {
	Tracks []media.Track
	// Units of all tracks, in the order of decoding times, which begin at zero or above.
	Units []*media.AccessUnit
	// Length is that of the clip, for playing it in a loop.
	Length time.Duration
}

// Load reads a clip by its name.
func Load(tb testing.TB, name string) *Clip {
	tb.Helper()
	data, err := testdata.Clips.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(data)); err != nil {
		tb.Fatal(err)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(data); err != nil {
		tb.Fatal(err)
	}
	c := &Clip{}
	for _, it := range init.Tracks {
		c.Tracks = append(c.Tracks, newTrack(tb, it))
	}
	for _, part := range parts {
		for _, pt := range part.Tracks {
			c.addSamples(pt)
		}
	}
	c.finish()
	return c
}

func newTrack(tb testing.TB, it *fmp4.InitTrack) media.Track {
	t := media.Track{ID: uint8(it.ID), Kind: media.Audio, ClockRate: int(it.TimeScale)}
	switch c := it.Codec.(type) {
	case *mp4.CodecH264:
		t.Kind, t.Codec, t.SPS, t.PPS = media.Video, media.H264, c.SPS, c.PPS
	case *mp4.CodecH265:
		t.Kind, t.Codec, t.VPS, t.SPS, t.PPS = media.Video, media.H265, c.VPS, c.SPS, c.PPS
	case *mp4.CodecMPEG4Audio:
		config, err := c.Config.Marshal()
		if err != nil {
			tb.Fatal(err)
		}
		t.Codec, t.Channels, t.Config = media.AAC, c.Config.ChannelCount, config
	case *mp4.CodecOpus:
		t.Codec, t.Channels = media.Opus, c.ChannelCount
	default:
		tb.Fatalf("codec %T", c)
	}
	return t
}

func (c *Clip) addSamples(pt *fmp4.PartTrack) {
	dts := int64(pt.BaseTime)
	track := media.Find(c.Tracks, uint8(pt.ID))
	for _, s := range pt.Samples {
		c.Units = append(c.Units, &media.AccessUnit{
			Track:        track.ID,
			RandomAccess: isRandomAccess(track.Codec, s.Payload),
			PTS:          dts + int64(s.PTSOffset),
			DTSOffset:    s.PTSOffset,
			Payload:      s.Payload,
		})
		dts += int64(s.Duration)
	}
	c.Length = max(c.Length, track.Duration(dts))
}

// isRandomAccess looks into the payload, since the reader does not tell of flags for the first sample only.
func isRandomAccess(codec media.Codec, payload []byte) bool {
	nalus, _ := media.NALUs(nil, payload)
	switch codec {
	case media.H264:
		return h264.IsRandomAccess(nalus)
	case media.H265:
		return h265.IsRandomAccess(nalus)
	}
	return true
}

// finish orders the units, and shifts them so that decoding and presentation times are above zero.
func (c *Clip) finish() {
	slices.SortStableFunc(c.Units, func(a, b *media.AccessUnit) int { return int(c.Time(a) - c.Time(b)) })
	const shift = 200 * time.Millisecond
	origin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	least := map[uint8]int32{} // offset of each track
	for _, u := range c.Units {
		least[u.Track] = min(least[u.Track], u.DTSOffset)
	}
	for i, u := range c.Units {
		u.PTS += media.Find(c.Tracks, u.Track).Ticks(shift)
		u.DTSOffset -= least[u.Track] // below zero with reordering: units would be presented before they are decoded
		u.Sequence = uint64(i)
		u.Capture = origin.Add(c.Time(u))
	}
}

// Time is a unit's decoding time.
func (c *Clip) Time(u *media.AccessUnit) time.Duration {
	return media.Find(c.Tracks, u.Track).Duration(u.DTS())
}

// Shifted returns the unit, later by d.
func (c *Clip) Shifted(u *media.AccessUnit, d time.Duration) *media.AccessUnit {
	later := *u
	later.PTS += media.Find(c.Tracks, u.Track).Ticks(d)
	later.Capture = later.Capture.Add(d)
	return &later
}
