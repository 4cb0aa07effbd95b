// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"

	"github.com/kubeedge/datastream/pkg/media"
)

// errNoTrack means that none of the tracks can be carried in MPEG-TS.
var errNoTrack = errors.New("no track that MPEG-TS can carry")

// Times in ticks of the 90 kHz clock, whose lower 33 bits are written.
const (
	clockRate = 90000
	// startTime keeps PCR, which is behind decoding time, above zero at the start of a stream.
	startTime = clockRate
)

const (
	// maxTracks is how many fit into the one packet that the library's PMT has: its 184 bytes but for pointer,
	// header and CRC, by the 15 that a track takes with the descriptors of Opus.
	maxTracks = (184 - 1 - 12 - 4) / 15
	// maxAAC is the most that the length of an ADTS frame allows, in bytes (ISO/IEC 14496-3, 1.A.2.2).
	maxAAC = 1<<13 - 1 - 7
)

// writer turns access units into transport packets.
//
// The library repeats its tables in front of each random access unit of the lead track, so that a viewer can begin there.
// It knows IDR and CRA pictures and audio. Where the edge knows better (recovery points of streams that have no IDR
// pictures at all) the tables are those that it writes every 40 units, and viewers wait for them.
type writer struct {
	tracks []*track
	lead   *track
	mux    *mpegts.Writer
	begun  bool // mux was given a unit
	buf    bytes.Buffer
}

// setTracks takes those of the tracks that MPEG-TS carries. Where only parameter sets differ, packets go on as before.
func (w *writer) setTracks(all []media.Track) error {
	var tracks []*track
	for i := range all {
		if t, ok := newTrack(&all[i]); ok && len(tracks) < maxTracks {
			tracks = append(tracks, t)
		}
	}
	if w.mux != nil && slices.EqualFunc(tracks, w.tracks, (*track).follows) {
		for i, t := range tracks {
			w.tracks[i].Track = t.Track
		}
		return nil
	}
	w.tracks, w.lead, w.mux, w.begun = tracks, nil, nil, false
	if len(tracks) == 0 {
		return errNoTrack
	}
	w.lead = tracks[max(0, slices.IndexFunc(tracks, func(t *track) bool { return t.Kind == media.Video }))]
	mux := &mpegts.Writer{W: &w.buf}
	for _, t := range tracks {
		mux.Tracks = append(mux.Tracks, t.out)
	}
	if err := mux.Initialize(); err != nil {
		return fmt.Errorf("beginning a transport stream: %w", err)
	}
	w.mux = mux
	return nil
}

// isRandomAccess says whether a viewer can begin with the unit.
func (w *writer) isRandomAccess(u *media.AccessUnit) bool {
	return w.lead != nil && u.Track == w.lead.ID && u.RandomAccess
}

// write returns the packets of one unit. They are valid up to the next call, and nil where the unit is not carried.
func (w *writer) write(u *media.AccessUnit) ([]byte, error) {
	t := w.find(u.Track)
	if t == nil || len(u.Payload) == 0 {
		return nil, nil
	}
	if t != w.lead && !w.begun {
		return nil, nil // the library gives PCR and tables to the track that it sees first; nobody views what is before it
	}
	w.buf.Reset()
	var err error
	pts, dts := t.time(u.PTS), t.time(u.DTS())
	switch t.Codec {
	case media.AAC:
		if len(u.Payload) > maxAAC {
			return nil, nil // no reason to end the picture
		}
		err = w.mux.WriteMPEG4Audio(t.out, pts, [][]byte{u.Payload})
	case media.Opus:
		err = w.mux.WriteOpus(t.out, pts, [][]byte{u.Payload})
	default:
		var nalus [][]byte
		if nalus, err = t.NALUs(u.Payload, u.RandomAccess); err != nil || len(nalus) == 0 {
			return nil, err
		}
		if t.Codec == media.H264 {
			err = w.mux.WriteH264(t.out, pts, dts, nalus)
		} else {
			err = w.mux.WriteH265(t.out, pts, dts, nalus)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("writing packets: %w", err)
	}
	w.begun = true
	return w.buf.Bytes(), nil
}

func (w *writer) find(id uint8) *track {
	for _, t := range w.tracks {
		if t.ID == id {
			return t
		}
	}
	return nil
}
