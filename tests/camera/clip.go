// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package camera

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4"
	"github.com/pion/rtp"

	"github.com/kubeedge/datastream/tests/testdata"
)

// The clips that can be loaded by name.
const (
	Clock       = "clock"         // H.264 High 1280x720 25 fps, GOP 2 s, no B-frames; AAC-LC 48 kHz mono; 16 s
	ClockBFrame = "clock-bframes" // H.264 High 640x360 25 fps, GOP 2 s, two B-frames; audio as in Clock; 8 s
	ClockGOP10s = "clock-gop10s"  // H.264 High 640x360 25 fps, GOP 10 s; AAC-LC 32 kHz mono; 20 s
	ClockH265   = "clock-h265"    // H.265 Main 640x360 25 fps, GOP 2 s; Opus mono; 8 s
)

// The static payload types of RFC 3551 section 6, and dynamic ones for the rest.
const (
	payloadTypePCMU  = 0
	payloadTypePCMA  = 8
	payloadTypeVideo = 96
	payloadTypeAudio = 97
	payloadTypeOther = 98
)

// Clip is what a camera plays, over and over. It never changes after loading and any number of cameras may
// share it.
type Clip struct {
	Tracks []*Track
}

// Track is one elementary stream of a clip. Each track loops by itself, so within a clip the periods may
// differ.
type Track struct {
	Format format.Format
	Period time.Duration // a whole number of clock ticks
	Units  []*Unit       // in decoding order; PTS in [0, Period)
}

// Unit is one access unit.
type Unit struct {
	PTS          int64 // in ticks of the format's clock rate, from the start of the clip
	DTS          int64 // likewise; at most PTS, negative at the start of a track with reordering
	RandomAccess bool
	Payload      [][]byte // the NAL units with parameter sets before each random access point, or one audio frame

	packets []*rtp.Packet // payload and marker; the camera numbers and stamps them
}

// Load reads the embedded clip of that name.
func Load(name string) (*Clip, error) {
	data, err := testdata.Clips.ReadFile(name + ".mp4")
	if err != nil {
		return nil, fmt.Errorf("loading clip %q: %w", name, err)
	}
	clip, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("loading clip %q: %w", name, err)
	}
	return clip, nil
}

// Parse reads a fragmented MP4 file with at most one track of video and one of audio. Codecs other than H.264,
// H.265, MPEG-4 audio and Opus are an error.
func Parse(data []byte) (*Clip, error) {
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("reading moov: %w", err)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(data); err != nil {
		return nil, fmt.Errorf("reading fragments: %w", err)
	}

	clip := &Clip{}
	for _, it := range init.Tracks {
		var samples []*fmp4.Sample
		for _, part := range parts {
			for _, pt := range part.Tracks {
				if pt.ID == it.ID {
					samples = append(samples, pt.Samples...)
				}
			}
		}
		track, err := newTrack(it, samples)
		if err != nil {
			return nil, fmt.Errorf("track %d: %w", it.ID, err)
		}
		clip.Tracks = append(clip.Tracks, track)
	}
	return clip, nil
}

// Only returns a clip with those tracks for which keep is true.
func (c *Clip) Only(keep func(*Track) bool) *Clip {
	return &Clip{Tracks: slices.DeleteFunc(slices.Clone(c.Tracks), func(t *Track) bool { return !keep(t) })}
}

// With returns a clip with the tracks of c and those given.
func (c *Clip) With(tracks ...*Track) *Clip {
	return &Clip{Tracks: slices.Concat(c.Tracks, tracks)}
}

// IsVideo says whether the track is video.
func (t *Track) IsVideo() bool {
	switch t.Format.(type) {
	case *format.H264, *format.H265:
		return true
	}
	return false
}

// newTrack turns MP4 samples into units. An MP4 file may express reordering by PTS offsets that are all
// positive or centred on zero; either way the first unit's PTS becomes 0 and no DTS exceeds its PTS.
func newTrack(it *fmp4.InitTrack, samples []*fmp4.Sample) (*Track, error) {
	if len(samples) == 0 {
		return nil, fmt.Errorf("no samples")
	}
	frm, err := formatOf(it.Codec)
	if err != nil {
		return nil, err
	}
	if frm.ClockRate() != int(it.TimeScale) {
		return nil, fmt.Errorf("time scale %d is not the RTP clock rate %d", it.TimeScale, frm.ClockRate())
	}
	packetize, err := packetizer(frm)
	if err != nil {
		return nil, err
	}

	first, least := samples[0].PTSOffset, samples[0].PTSOffset
	for _, s := range samples {
		least = min(least, s.PTSOffset)
	}
	track := &Track{Format: frm}
	var dts int64
	for i, s := range samples {
		u := &Unit{PTS: dts + int64(s.PTSOffset-first), DTS: dts + int64(least-first)}
		if err := u.fill(frm, s.Payload); err != nil {
			return nil, fmt.Errorf("sample %d: %w", i, err)
		}
		if u.packets, err = packetize(u.Payload); err != nil {
			return nil, fmt.Errorf("packetizing sample %d: %w", i, err)
		}
		track.Units = append(track.Units, u)
		dts += int64(s.Duration)
	}
	if !track.Units[0].RandomAccess {
		return nil, fmt.Errorf("does not begin with a random access point")
	}
	track.Period = duration(dts, frm.ClockRate())
	return track, nil
}

// fill splits an MP4 sample and puts the parameter sets before each random access point, as cameras do.
func (u *Unit) fill(frm format.Format, sample []byte) error {
	var params [][]byte
	var isRandomAccess func([][]byte) bool
	switch f := frm.(type) {
	case *format.H264:
		params, isRandomAccess = [][]byte{f.SPS, f.PPS}, h264.IsRandomAccess
	case *format.H265:
		params, isRandomAccess = [][]byte{f.VPS, f.SPS, f.PPS}, h265.IsRandomAccess
	default:
		u.RandomAccess, u.Payload = true, [][]byte{sample}
		return nil
	}

	var nalus h264.AVCC // H.265 has the same length prefixes
	if err := nalus.Unmarshal(sample); err != nil {
		return err
	}
	u.Payload = nalus
	if u.RandomAccess = isRandomAccess(nalus); u.RandomAccess {
		u.Payload = slices.Concat(params, nalus)
	}
	return nil
}

func formatOf(codec mp4.Codec) (format.Format, error) {
	switch c := codec.(type) {
	case *mp4.CodecH264:
		return &format.H264{PayloadTyp: payloadTypeVideo, PacketizationMode: 1, SPS: c.SPS, PPS: c.PPS}, nil
	case *mp4.CodecH265:
		return &format.H265{PayloadTyp: payloadTypeVideo, VPS: c.VPS, SPS: c.SPS, PPS: c.PPS}, nil
	case *mp4.CodecMPEG4Audio:
		// The field sizes of RFC 3640 section 3.3.6, AAC-hbr.
		return &format.MPEG4Audio{
			PayloadTyp: payloadTypeAudio, Config: &c.Config, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3,
		}, nil
	case *mp4.CodecOpus:
		return &format.Opus{PayloadTyp: payloadTypeAudio, ChannelCount: c.ChannelCount}, nil
	}
	return nil, fmt.Errorf("unsupported codec %T", codec)
}

// packetizer returns a function that makes the RTP packets of one access unit.
func packetizer(frm format.Format) (func(payload [][]byte) ([]*rtp.Packet, error), error) {
	switch f := frm.(type) {
	case *format.H264:
		e, err := f.CreateEncoder()
		if err != nil {
			return nil, fmt.Errorf("creating H.264 packetizer: %w", err)
		}
		return e.Encode, nil
	case *format.H265:
		e, err := f.CreateEncoder()
		if err != nil {
			return nil, fmt.Errorf("creating H.265 packetizer: %w", err)
		}
		return e.Encode, nil
	case *format.MPEG4Audio:
		e, err := f.CreateEncoder()
		if err != nil {
			return nil, fmt.Errorf("creating MPEG-4 audio packetizer: %w", err)
		}
		return e.Encode, nil
	default:
		return onePacket, nil
	}
}

// onePacket is the packetizer of formats whose packet payload is the frame itself: Opus (RFC 7587), G.711
// (RFC 3551) and whatever a test makes up.
func onePacket(payload [][]byte) ([]*rtp.Packet, error) {
	if len(payload) != 1 {
		return nil, fmt.Errorf("%d frames in one unit", len(payload))
	}
	return []*rtp.Packet{{Header: rtp.Header{Version: 2}, Payload: payload[0]}}, nil
}

// ticks converts a time to ticks of a clock, without overflow for any duration.
func ticks(d time.Duration, clockRate int) int64 {
	return int64(d/time.Second)*int64(clockRate) + int64(d%time.Second)*int64(clockRate)/int64(time.Second)
}

// duration converts ticks of a clock to a time, without overflow for any count that fits a duration.
func duration(n int64, clockRate int) time.Duration {
	rate := int64(clockRate)
	return time.Duration(n/rate)*time.Second + time.Duration(n%rate)*time.Second/time.Duration(rate)
}
