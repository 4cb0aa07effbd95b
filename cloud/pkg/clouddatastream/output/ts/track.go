// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

import (
	"bytes"
	"math/bits"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"

	"github.com/kubeedge/datastream/pkg/media"
)

// firstPID is above the PIDs that are reserved. A track's is firstPID + its ID, so that it stays the same for all of a
// stream.
const firstPID = 0x100

// track is a track that is carried.
type track struct {
	media.Track
	out *mpegts.Track
}

// newTrack says not ok where MPEG-TS does not carry the track.
func newTrack(mt *media.Track) (t *track, ok bool) {
	t = &track{Track: *mt, out: &mpegts.Track{PID: firstPID + uint16(mt.ID)}}
	switch t.Codec {
	case media.H264:
		t.out.Codec = &mpegts.CodecH264{}
	case media.H265:
		t.out.Codec = &mpegts.CodecH265{}
	case media.AAC:
		var c mpeg4audio.AudioSpecificConfig
		if c.Unmarshal(t.Config) != nil {
			return nil, false
		}
		_, err := mpeg4audio.ADTSPackets{{Type: c.Type, SampleRate: c.SampleRate, ChannelCount: c.ChannelCount}}.Marshal()
		if err != nil {
			return nil, false // a sample rate or a number of channels that ADTS has no code for
		}
		t.out.Codec = &mpegts.CodecMPEG4Audio{Config: c}
	case media.Opus:
		t.out.Codec = &mpegts.CodecOpus{ChannelCount: t.Channels}
	default:
		return nil, false
	}
	return t, true
}

// follows says whether what was made for old holds for the track too. Parameter sets may differ: they are in-band.
func (t *track) follows(old *track) bool {
	return t.ID == old.ID && t.Codec == old.Codec && t.Channels == old.Channels && bytes.Equal(t.Config, old.Config)
}

// time converts ticks of the track's clock to the 90 kHz clock of MPEG-TS. The product may take more than 64 bits.
func (t *track) time(ticks int64) int64 {
	hi, lo := bits.Mul64(uint64(max(ticks, 0)), clockRate)
	q, _ := bits.Div64(hi, lo, uint64(t.ClockRate))
	return startTime + int64(q)
}
