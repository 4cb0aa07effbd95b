// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4"

	"github.com/kubeedge/datastream/pkg/media"
)

// track is a track that is carried.
type track struct {
	media.Track
	codec mp4.Codec
	name  string // of the codec, RFC 6381
	gone  bool   // the source has it no more
	clock
}

// clock is what durations are guessed from.
type clock struct {
	dts      int64 // of the newest unit
	started  bool
	distance uint32 // between the newest two units, in ticks
}

func newTrack(mt *media.Track) (t *track, err error) {
	t = &track{Track: *mt, clock: clock{distance: uint32(max(mt.ClockRate/firstRate, 1))}}
	switch t.Codec {
	case media.H264:
		t.codec = &mp4.CodecH264{SPS: t.SPS, PPS: t.PPS}
	case media.H265:
		t.codec = &mp4.CodecH265{VPS: t.VPS, SPS: t.SPS, PPS: t.PPS}
	case media.AAC:
		var c mpeg4audio.AudioSpecificConfig
		if err := c.Unmarshal(t.Config); err != nil {
			return nil, fmt.Errorf("parsing AudioSpecificConfig: %w", err)
		}
		t.codec = &mp4.CodecMPEG4Audio{Config: c}
	case media.Opus:
		if t.Channels > 2 {
			return nil, errors.New("more than two channels")
		}
		t.codec = &mp4.CodecOpus{ChannelCount: t.Channels}
	default:
		return nil, errors.New("not carried in MP4")
	}
	t.name, err = codecName(t.codec)
	return t, err
}

// number is the track's ID in MP4, where zero is not allowed.
func (t *track) number() int { return int(t.ID) + 1 }

// follows says whether what was made for old holds for the track too, but for parameter sets.
func (t *track) follows(old *track) bool {
	return t.ID == old.ID && t.Codec == old.Codec && t.ClockRate == old.ClockRate &&
		t.Channels == old.Channels && bytes.Equal(t.Config, old.Config)
}

func (t *track) sameParameterSets(old *track) bool {
	return bytes.Equal(t.VPS, old.VPS) && bytes.Equal(t.SPS, old.SPS) && bytes.Equal(t.PPS, old.PPS)
}

// firstRate is the rate in 1/s that is assumed before the distance between two units is known.
const firstRate = 25

// duration guesses how long the unit lasts, in ticks. Its successor would tell, but waiting for it would delay every
// picture by one; so it is the distance from its predecessor. The next fragment says its own
// decoding time, so that wrong guesses do not add up.
func (t *track) duration(u *media.AccessUnit, dts int64) uint32 {
	d := dts - t.dts
	if t.started && !u.Discontinuity && d > 0 && d <= int64(t.ClockRate) { // more is a pause
		t.distance = uint32(d)
	}
	t.dts, t.started = dts, true
	switch c := t.codec.(type) {
	case *mp4.CodecMPEG4Audio:
		return aacFrame(&c.Config, t.ClockRate)
	case *mp4.CodecOpus:
		if n := opus.PacketDuration2(u.Payload) * int64(t.ClockRate) / 48000; n > 0 {
			return uint32(n)
		}
	}
	return t.distance
}

// aacFrame is the length of an AAC frame in ticks: 1024 or 960 samples (ISO/IEC 14496-3, 4.5.2.1.1).
func aacFrame(c *mpeg4audio.AudioSpecificConfig, clockRate int) uint32 {
	samples := 1024
	if c.FrameLengthFlag {
		samples = 960
	}
	return uint32(samples * clockRate / max(c.SampleRate, 1))
}
