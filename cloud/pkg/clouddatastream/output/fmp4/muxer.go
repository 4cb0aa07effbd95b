// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fmp4 turns access units into fragmented MP4 (ISO/IEC 14496-12, 8.8): an initialization segment, then one
// fragment (moof and mdat) for each access unit. It writes the boxes itself: a fragment's header has
// always the same shape, which makes it a hundred bytes to append instead of a tree to marshal.
package fmp4

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// ErrNoTrack means that none of the tracks can be carried in MP4.
var ErrNoTrack = errors.New("no track that MP4 can carry")

// Muxer writes the fragments of one run: of units whose tracks do not change, but for their H.264 and H.265
// parameter sets. It is not safe for concurrent use.
type Muxer struct {
	tracks   []*track
	skipped  []tunnel.SkippedTrack
	mime     string
	sequence uint32
	inBand   bool
}

// track is a track that is carried.
type track struct {
	media.Track
	codec     string // RFC 6381
	frame     uint32 // ticks of an AAC frame
	dts       int64  // of the newest unit
	started   bool
	distance  uint32 // between the newest two units, in ticks
	parameter []byte // the parameter sets, each behind its length
}

// NewMuxer makes a muxer for those of the tracks that MP4 carries. The error is ErrNoTrack where there are none.
func NewMuxer(tracks []media.Track) (*Muxer, error) {
	m := &Muxer{}
	for i := range tracks {
		t, err := newTrack(&tracks[i])
		if err != nil {
			m.skipped = append(m.skipped, tunnel.SkippedTrack{Codec: string(tracks[i].Codec), Reason: err.Error()})
			continue
		}
		m.tracks = append(m.tracks, t)
	}
	if len(m.tracks) == 0 {
		return nil, ErrNoTrack
	}
	m.mime = contentType(m.tracks) + codecsParameter(m.tracks)
	return m, nil
}

func newTrack(mt *media.Track) (*track, error) {
	t := &track{Track: *mt, distance: uint32(max(mt.ClockRate/firstRate, 1))}
	switch t.Codec {
	case media.H264:
		t.parameter = media.JoinNALUs([][]byte{t.SPS, t.PPS})
	case media.H265:
		t.parameter = media.JoinNALUs([][]byte{t.VPS, t.SPS, t.PPS})
	case media.AAC:
		var c mpeg4audio.AudioSpecificConfig
		if err := c.Unmarshal(t.Config); err != nil {
			return nil, fmt.Errorf("parsing AudioSpecificConfig: %w", err)
		}
		t.Channels = c.ChannelCount
		t.frame = aacFrame(&c, t.ClockRate)
	case media.Opus:
		if t.Channels > 2 {
			return nil, errors.New("more than two channels")
		}
	default:
		return nil, errors.New("not carried in MP4")
	}
	var err error
	t.codec, err = codecString(t)
	return t, err
}

// aacFrame is the length of an AAC frame in ticks: 1024 or 960 samples (ISO/IEC 14496-3, 4.5.2.1.1).
func aacFrame(c *mpeg4audio.AudioSpecificConfig, clockRate int) uint32 {
	samples := 1024
	if c.FrameLengthFlag {
		samples = 960
	}
	return uint32(samples * clockRate / max(c.SampleRate, 1))
}

// Lead is the ID of the track whose random access points are the run's.
func (m *Muxer) Lead() uint8 {
	for _, t := range m.tracks {
		if t.Kind == media.Video {
			return t.ID
		}
	}
	return m.tracks[0].ID
}

// ContentType is the media type without parameters.
func (m *Muxer) ContentType() string { return contentType(m.tracks) }

// MIME is the media type with its codecs parameter (RFC 6381).
func (m *Muxer) MIME() string { return m.mime }

// Skipped are the tracks that are left out.
func (m *Muxer) Skipped() []tunnel.SkippedTrack { return m.skipped }

// Continue takes over tracks that differ from those before only in H.264 and H.265 parameter sets, and says
// whether they do. If so the fragments go on for those who have the initialization segment already: from here on the
// parameter sets are also in front of each random access unit, where decoders take them from.
func (m *Muxer) Continue(tracks []media.Track) bool {
	next, err := NewMuxer(tracks)
	if err != nil || len(next.tracks) != len(m.tracks) {
		return false
	}
	changed := m.inBand
	for i, t := range next.tracks {
		old := m.tracks[i]
		if t.ID != old.ID || t.Codec != old.Codec || t.ClockRate != old.ClockRate ||
			t.Channels != old.Channels || !bytes.Equal(t.Config, old.Config) {
			return false
		}
		changed = changed || !bytes.Equal(t.parameter, old.parameter)
		t.dts, t.started, t.distance = old.dts, old.started, old.distance
	}
	m.tracks, m.skipped, m.mime, m.inBand = next.tracks, next.skipped, next.mime, changed
	return true
}

func (m *Muxer) find(id uint8) *track {
	for _, t := range m.tracks {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// firstRate is the rate in 1/s that is assumed before the distance between two units is known.
const firstRate = 25

// duration guesses how long the unit lasts, in ticks. Its successor would tell, but waiting for it would delay every
// picture by one; so it is the distance from its predecessor. The next fragment says its own
// decoding time, so that wrong guesses do not add up.
func (t *track) duration(u *media.AccessUnit, dts int64) uint32 {
	d := dts - t.dts
	if t.started && d > 0 && d <= int64(t.ClockRate) { // more is a pause
		t.distance = uint32(d)
	}
	t.dts, t.started = dts, true
	switch t.Codec {
	case media.AAC:
		return t.frame
	case media.Opus:
		if n := opus.PacketDuration2(u.Payload) * int64(t.ClockRate) / 48000; n > 0 {
			return uint32(n)
		}
	}
	return t.distance
}
