// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

// Transport packets (ISO/IEC 13818-1, 2.4.3).
const (
	packetSize = 188
	headerSize = 4
	syncByte   = 0x47
	// maxPID is above all PIDs in use.
	maxPID = firstPID + 256
)

// adaptation is what the adaptation field of a unit's first packet says (2.4.3.4).
type adaptation struct {
	randomAccess bool
	hasPCR       bool
	pcr          int64 // 90 kHz
}

// appendHeader appends a packet header with the next continuity counter of the PID.
func (w *writer) appendHeader(dst []byte, pid uint16, start, hasField bool) []byte {
	first := byte(pid >> 8)
	if start {
		first |= 0x40
	}
	control := byte(0x10) // payload
	if hasField {
		control |= 0x20
	}
	n := w.counter[pid]
	w.counter[pid] = (n + 1) & 0x0f
	return append(dst, syncByte, first, byte(pid), control|n)
}

// appendPackets cuts a PES packet into transport packets. What the last one lacks is stuffed in its adaptation field.
func (w *writer) appendPackets(dst []byte, pid uint16, pes []byte, field adaptation) []byte {
	var room [8]byte
	content := field.append(room[:0])
	for start := true; len(pes) > 0; start = false {
		free := packetSize - headerSize
		if len(content) > 0 {
			free -= 1 + len(content)
		}
		n := min(len(pes), free)
		stuffing := free - n
		dst = w.appendHeader(dst, pid, start, len(content) > 0 || stuffing > 0)
		dst = appendField(dst, content, stuffing)
		dst = append(dst, pes[:n]...)
		pes, content = pes[n:], nil
	}
	return dst
}

// append renders the field without its length and stuffing: nothing, flags, or flags and PCR.
func (f adaptation) append(dst []byte) []byte {
	if !f.randomAccess && !f.hasPCR {
		return dst
	}
	flags := byte(0)
	if f.randomAccess {
		flags |= 0x40
	}
	if !f.hasPCR {
		return append(dst, flags)
	}
	p := f.pcr
	return append(dst, flags|0x10, byte(p>>25), byte(p>>17), byte(p>>9), byte(p>>1), byte(p<<7)|0x7e, 0)
}

// appendField appends an adaptation field that takes stuffing bytes more than its content does.
func appendField(dst, content []byte, stuffing int) []byte {
	if len(content) == 0 {
		if stuffing == 0 {
			return dst
		}
		stuffing-- // the length takes a byte
		dst = append(dst, byte(stuffing))
		if stuffing == 0 {
			return dst
		}
		stuffing--
		dst = append(dst, 0) // flags
	} else {
		dst = append(dst, byte(len(content)+stuffing))
		dst = append(dst, content...)
	}
	for range stuffing {
		dst = append(dst, 0xff)
	}
	return dst
}
