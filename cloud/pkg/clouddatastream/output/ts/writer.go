// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

import (
	"errors"

	"github.com/kubeedge/datastream/pkg/media"
)

// errNoTrack means that none of the tracks can be carried in MPEG-TS.
var errNoTrack = errors.New("no track that MPEG-TS can carry")

// Times in ticks of the 90 kHz clock.
const (
	clockRate = 90000
	// startTime keeps PCR above zero at the start of a stream.
	startTime = clockRate
	// pcrLead is how far PCR is behind decoding time: what a player may buffer.
	pcrLead = clockRate / 10
	// tableInterval is the longest time without tables (ETSI TR 101 290, 5.2.1).
	tableInterval = clockRate / 2
)

// writer turns access units into transport packets. Its continuity counters and table versions go on
// when the tracks change, as those who are watching need it.
type writer struct {
	tracks  []*track
	lead    *track
	tables  tables
	counter [maxPID]uint8 // continuity counters by PID
	pes     []byte        // scratch
	tableAt int64         // decoding time of the last tables
}

// setTracks takes those of the tracks that MPEG-TS carries.
func (w *writer) setTracks(all []media.Track) error {
	w.tracks, w.lead = nil, nil
	for i := range all {
		t, ok := newTrack(&all[i])
		if !ok || len(w.tracks) == maxTracks {
			continue
		}
		w.tracks = append(w.tracks, t)
		if w.lead == nil || t.Kind == media.Video && w.lead.Kind != media.Video {
			w.lead = t
		}
	}
	if w.lead == nil {
		return errNoTrack
	}
	w.tables.set(w.tracks, w.lead)
	return nil
}

// isRandomAccess says whether a viewer can begin with the unit.
func (w *writer) isRandomAccess(u *media.AccessUnit) bool {
	return w.lead != nil && u.Track == w.lead.ID && u.RandomAccess
}

// append appends the packets of one unit to dst, behind the tables where a viewer may begin. It appends nothing
// where the unit's track is not carried.
func (w *writer) append(dst []byte, u *media.AccessUnit) ([]byte, error) {
	t := w.find(u.Track)
	if t == nil || len(u.Payload) == 0 {
		return dst, nil
	}
	pts, dts := t.time(u.PTS), t.time(u.DTS())
	body, err := t.appendElementary(appendPESHeader(w.pes[:0], t, pts, dts), u)
	w.pes = body
	if err != nil {
		return dst, err
	}
	setPESLength(body, t)

	start := w.isRandomAccess(u)
	if since := dts - w.tableAt; start || t == w.lead && (since >= tableInterval || since < 0) {
		dst = w.appendTables(dst)
		w.tableAt = dts
	}
	field := adaptation{randomAccess: u.RandomAccess, hasPCR: t == w.lead, pcr: dts - pcrLead}
	return w.appendPackets(dst, t.pid, body, field), nil
}

func (w *writer) find(id uint8) *track {
	for _, t := range w.tracks {
		if t.ID == id {
			return t
		}
	}
	return nil
}
