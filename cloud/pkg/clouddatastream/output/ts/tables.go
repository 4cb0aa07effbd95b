// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

import (
	"bytes"
	"encoding/binary"
)

// PIDs. A track's is firstPID + its ID, so that it stays the same for all of a stream.
const (
	patPID   = 0
	pmtPID   = 0x20
	firstPID = 0x100
)

const (
	program  = 1
	streamID = 1 // of the transport stream
	patTable = 0x00
	pmtTable = 0x02
	// maxTracks is how many fit into the one packet of a PMT, behind pointer, header and CRC.
	maxTracks = (packetSize - headerSize - 1 - 12 - 4) / (5 + opusDescriptorLen)
)

// tables holds the sections of PAT and PMT (ISO/IEC 13818-1, 2.4.4), which fit into a packet each.
type tables struct {
	pat, pmt []byte
	body     []byte // of the PMT
	version  byte
}

// set renders the tables; the PMT's version counts its changes.
func (s *tables) set(tracks []*track, lead *track) {
	be := binary.BigEndian
	body := be.AppendUint16(nil, 0xe000|lead.pid)
	body = be.AppendUint16(body, 0xf000) // no descriptors of the program
	for _, t := range tracks {
		body = append(body, t.streamType)
		body = be.AppendUint16(body, 0xe000|t.pid)
		body = be.AppendUint16(body, 0xf000|uint16(len(t.descriptors)))
		body = append(body, t.descriptors...)
	}
	if s.pmt != nil && !bytes.Equal(body, s.body) {
		s.version = (s.version + 1) & 0x1f
	}
	s.body = body
	s.pmt = section(pmtTable, program, s.version, body)
	s.pat = section(patTable, streamID, 0, be.AppendUint16(be.AppendUint16(nil, program), 0xe000|pmtPID))
}

// section renders a table that has one section (2.4.4.10), behind the pointer field.
func section(id byte, extension uint16, version byte, body []byte) []byte {
	be := binary.BigEndian
	b := []byte{0, id}
	b = be.AppendUint16(b, 0xb000|uint16(5+len(body)+4))
	b = be.AppendUint16(b, extension)
	b = append(b, 0xc1|version<<1, 0, 0) // current; section 0 of 0
	b = append(b, body...)
	return be.AppendUint32(b, crc(b[1:]))
}

// crc is CRC-32/MPEG-2 (Annex A): unlike hash/crc32 it takes the most significant bit first.
func crc(b []byte) uint32 {
	c := ^uint32(0)
	for _, v := range b {
		c ^= uint32(v) << 24
		for range 8 {
			if c>>31 == 1 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
	}
	return c
}

func (w *writer) appendTables(dst []byte) []byte {
	dst = w.appendTable(dst, patPID, w.tables.pat)
	return w.appendTable(dst, pmtPID, w.tables.pmt)
}

func (w *writer) appendTable(dst []byte, pid uint16, section []byte) []byte {
	dst = w.appendHeader(dst, pid, true, false)
	dst = append(dst, section...)
	for range packetSize - headerSize - len(section) {
		dst = append(dst, 0xff)
	}
	return dst
}
