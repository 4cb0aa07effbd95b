// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fmp4 turns access units into fragmented MP4 (ISO/IEC 14496-12, 8.8): an initialization segment, then one
// fragment (moof and mdat) for each access unit.
package fmp4

import (
	"errors"
	"fmt"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"

	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// ErrNoTrack means that none of the tracks can be carried in MP4.
var ErrNoTrack = errors.New("no track that MP4 can carry")

// Muxer writes the fragments of one run: of what can follow on one initialization segment. It is not safe for concurrent use.
type Muxer struct {
	tracks   []*track
	skipped  []tunnel.SkippedTrack
	mime     string
	init     []byte
	sequence uint32
	inBand   bool // the parameter sets are no longer those that viewers began with
	buf      seekablebuffer.Buffer
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
	var err error
	if m.init, err = marshalInit(m.tracks); err != nil {
		return nil, err
	}
	return m, nil
}

// Init returns the initialization segment: ftyp and moov.
func (m *Muxer) Init() []byte { return m.init }

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

// Continue takes over the tracks of a stream that has changed, for those who have the initialization segment already, and says
// whether that can be. New H.264 and H.265 parameter sets are from here on also in front of each random access unit, where decoders
// take them from. Tracks that are gone, or have another codec, are left out until they come back, and new ones are left out. Where the
// lead changes to more than other parameter sets there is nothing to go on with.
func (m *Muxer) Continue(tracks []media.Track) bool {
	next, err := NewMuxer(tracks)
	if err != nil {
		return false
	}
	lead := next.find(m.Lead())
	if lead == nil || lead.ID != next.Lead() || !lead.follows(m.find(lead.ID)) {
		return false
	}
	for i, old := range m.tracks {
		t := next.find(old.ID)
		if t == nil || !t.follows(old) {
			old.gone = true
			continue
		}
		m.inBand = m.inBand || !t.sameParameterSets(old)
		t.clock = old.clock
		m.tracks[i] = t
	}
	init, err := marshalInit(m.tracks)
	if err != nil {
		return false
	}
	m.init, m.mime = init, contentType(m.tracks)+codecsParameter(m.tracks)
	return true
}

// Carries says whether the muxer was made for just those tracks, but for H.264 and H.265 parameter sets.
func (m *Muxer) Carries(tracks []media.Track) bool {
	other, err := NewMuxer(tracks)
	return err == nil && slices.EqualFunc(m.tracks, other.tracks, func(a, b *track) bool { return b.follows(a) })
}

// Fragment returns the fragment of one access unit. It is valid up to the next call, and nil where the unit's track is
// not carried.
func (m *Muxer) Fragment(u *media.AccessUnit) ([]byte, error) {
	t := m.find(u.Track)
	if t == nil || t.gone || len(u.Payload) == 0 {
		return nil, nil
	}
	payload := u.Payload
	if m.inBand && u.RandomAccess && t.Kind == media.Video {
		nalus, err := t.NALUs(payload, true)
		if err != nil {
			return nil, err
		}
		payload = media.JoinNALUs(nalus)
	}
	// Decoding times are unsigned (ISO/IEC 14496-12, 8.8.12). Where reordering would begin below zero, decoding begins at zero.
	dts := max(u.DTS(), 0)
	m.sequence++
	part := fmp4.Part{
		SequenceNumber: m.sequence,
		Tracks: []*fmp4.PartTrack{{
			ID:       t.number(),
			BaseTime: uint64(dts),
			Samples: []*fmp4.Sample{{
				Duration:        t.duration(u, dts),
				PTSOffset:       int32(u.PTS - dts),
				IsNonSyncSample: !u.RandomAccess,
				Payload:         payload,
			}},
		}},
	}
	m.buf.Reset()
	if err := part.Marshal(&m.buf); err != nil {
		return nil, fmt.Errorf("writing a fragment: %w", err)
	}
	return m.buf.Bytes(), nil
}

func (m *Muxer) find(id uint8) *track {
	for _, t := range m.tracks {
		if t.ID == id {
			return t
		}
	}
	return nil
}
