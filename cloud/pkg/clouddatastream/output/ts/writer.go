// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/asticode/go-astits"

	"github.com/kubeedge/datastream/pkg/media"
)

// errNoTrack means that none of the tracks can be carried in MPEG-TS.
var errNoTrack = errors.New("no track that MPEG-TS can carry")

// Times in ticks of the 90 kHz clock, whose lower 33 bits are written.
const (
	clockRate = 90000
	// startTime keeps PCR above zero at the start of a stream.
	startTime = clockRate
	// pcrDelay is how far the PCR is behind decoding times: the time a decoder may buffer.
	pcrDelay = clockRate / 10
	// pcrInterval is the least time between two PCRs in the lead track's own packets. Where that has none for twice as long, other
	// tracks' units bring one: 100 ms are allowed (ISO/IEC 13818-1, 2.7.2).
	pcrInterval = clockRate / 25
	// tablesInterval is the most between two PATs (ETSI TR 101 290, 5.2.1).
	tablesInterval = clockRate / 2
)

const (
	packetSize = astits.MpegTsPacketSize
	// maxTracks is how many fit into the one packet that the library's PMT has: its 184 bytes but for pointer,
	// header and CRC, by the 15 that a track takes with the descriptors of Opus.
	maxTracks = (184 - 1 - 12 - 4) / 15
	// maxAAC is the most that the length of an ADTS frame allows, in bytes (ISO/IEC 14496-3, 1.A.2.2).
	maxAAC = 1<<13 - 1 - 7
)

// writer turns access units into transport packets: one program whose clock is the lead track's. Tables are in front of each
// picture that a viewer can begin with, and at least every tablesInterval.
type writer struct {
	tracks []*track
	lead   *track // nil: nothing can be carried
	mux    *astits.Muxer
	buf    bytes.Buffer

	begun  bool  // a unit of the lead was written
	pcr    int64 // the newest
	led    int64 // the decoding time of the lead's newest unit
	tables int64 // the decoding time of when they were written last
}

// setTracks takes those of the tracks that MPEG-TS carries. Packets of tracks that go on do so without a break, though the tables
// may tell of others.
func (w *writer) setTracks(all []media.Track) error {
	var tracks []*track
	for i := range all {
		if t, ok := newTrack(&all[i]); ok && len(tracks) < maxTracks {
			tracks = append(tracks, t)
		}
	}
	if w.mux == nil {
		w.mux = astits.NewMuxer(context.Background(), &w.buf, astits.MuxerOptTablesRetransmitPeriod(math.MaxInt32)) // we decide
	}
	for _, old := range w.tracks {
		i := slices.IndexFunc(tracks, func(t *track) bool { return t.follows(old) })
		if i >= 0 {
			tracks[i].counter, tracks[i].broken = old.counter, old.broken
		} else if err := w.mux.RemoveElementaryStream(old.pid()); err != nil {
			return fmt.Errorf("taking a track out: %w", err)
		}
	}
	for _, t := range tracks {
		if slices.ContainsFunc(w.tracks, t.follows) {
			continue
		}
		t.broken = w.begun // another may have used its PID
		if err := w.mux.AddElementaryStream(t.entry()); err != nil {
			return fmt.Errorf("adding a track: %w", err)
		}
	}
	old := w.lead
	w.tracks, w.lead = tracks, nil
	if len(tracks) == 0 {
		return errNoTrack
	}
	w.lead = tracks[max(0, slices.IndexFunc(tracks, func(t *track) bool { return t.Kind == media.Video }))]
	if old == nil || old.ID != w.lead.ID { // the PMT has a new version then
		w.mux.SetPCRPID(w.lead.pid())
	}
	return nil
}

// isRandomAccess says whether a viewer can begin with the unit that is written next. Every unit of audio would do, but there are not tables in front
// of all of them.
func (w *writer) isRandomAccess(u *media.AccessUnit) bool {
	return w.lead != nil && u.Track == w.lead.ID && u.RandomAccess &&
		(w.lead.Kind == media.Video || w.tablesDue(w.lead.time(u.DTS())))
}

func (w *writer) tablesDue(dts int64) bool { return !w.begun || dts-w.tables >= tablesInterval }

// write returns the packets of one unit. They are valid up to the next call, and nil where the unit is not carried.
func (w *writer) write(u *media.AccessUnit) ([]byte, error) {
	if u.Discontinuity {
		for _, t := range w.tracks {
			t.broken = w.begun
		}
	}
	t := w.find(u.Track)
	if t == nil || len(u.Payload) == 0 || t != w.lead && !w.begun { // what is before the lead has no clock
		return nil, nil
	}
	data, err := t.data(u)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	pts, dts := t.time(u.PTS), t.time(u.DTS())
	w.buf.Reset()
	start := w.isRandomAccess(u) // then the library writes the tables
	if !start && w.tablesDue(dts) {
		if _, err := w.mux.WriteTables(); err != nil {
			return nil, fmt.Errorf("writing tables: %w", err)
		}
	}
	if start || w.tablesDue(dts) {
		w.tables = dts
	}
	if t == w.lead {
		w.led = dts
	} else if err := w.bridge(t, dts); err != nil {
		return nil, err
	}
	if err := w.writePES(t, u.RandomAccess && (start || t != w.lead), pts, dts, data); err != nil {
		return nil, err
	}
	w.begun = w.begun || t == w.lead
	return w.buf.Bytes(), nil
}

// bridge brings a PCR where the lead has none. It moves on as t does from the lead's newest unit: what is captured at a time need not come at
// once, and a PCR must not be past what the lead has still to show.
func (w *writer) bridge(t *track, dts int64) error {
	if t.led != w.led {
		t.led, t.ahead = w.led, max(dts-w.led, 0)
	}
	if pcr := dts - t.ahead - pcrDelay; pcr-w.pcr >= 2*pcrInterval {
		return w.writePCR(pcr)
	}
	return nil
}

func (w *writer) writePES(t *track, randomAccess bool, pts, dts int64, data []byte) error {
	field := &astits.PacketAdaptationField{RandomAccessIndicator: randomAccess, DiscontinuityIndicator: t.broken}
	if pcr := dts - pcrDelay; t == w.lead && (!w.begun || t.broken || randomAccess || pcr-w.pcr >= pcrInterval) {
		field.HasPCR, field.PCR = true, &astits.ClockReference{Base: pcr}
		w.pcr = pcr
	}
	if !field.RandomAccessIndicator && !field.DiscontinuityIndicator && !field.HasPCR {
		field = nil
	}
	header := &astits.PESOptionalHeader{
		MarkerBits: 2, PTSDTSIndicator: astits.PTSDTSIndicatorOnlyPTS, PTS: &astits.ClockReference{Base: pts},
	}
	if dts != pts {
		header.PTSDTSIndicator, header.DTS = astits.PTSDTSIndicatorBothPresent, &astits.ClockReference{Base: dts}
	}
	_, err := w.mux.WriteData(&astits.MuxerData{PID: t.pid(), AdaptationField: field, PES: &astits.PESData{
		Header: &astits.PESHeader{OptionalHeader: header, StreamID: t.streamID()}, Data: data,
	}})
	if err != nil {
		return fmt.Errorf("writing packets: %w", err)
	}
	last := w.buf.Bytes()[w.buf.Len()-packetSize:]
	t.broken, t.counter = false, last[3]&0x0f
	return nil
}

// writePCR writes a packet of the lead track with a PCR and nothing else. Such packets are not counted (ISO/IEC 13818-1, 2.4.3.3).
func (w *writer) writePCR(pcr int64) error {
	const fixed = 4 + 1 + 1 + 6 // header, length, flags, PCR
	_, err := w.mux.WritePacket(&astits.Packet{
		Header: astits.PacketHeader{PID: w.lead.pid(), HasAdaptationField: true, ContinuityCounter: w.lead.counter},
		AdaptationField: &astits.PacketAdaptationField{
			DiscontinuityIndicator: w.lead.broken, HasPCR: true, PCR: &astits.ClockReference{Base: pcr},
			StuffingLength: packetSize - fixed,
		},
	})
	if err != nil {
		return fmt.Errorf("writing a PCR: %w", err)
	}
	w.pcr, w.lead.broken = pcr, false
	return nil
}

func (w *writer) find(id uint8) *track {
	for _, t := range w.tracks {
		if t.ID == id {
			return t
		}
	}
	return nil
}
