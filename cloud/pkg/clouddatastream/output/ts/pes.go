// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

import "encoding/binary"

// appendPESHeader appends the header of a PES packet (ISO/IEC 13818-1, 2.4.3.6), whose length is not known yet.
func appendPESHeader(dst []byte, t *track, pts, dts int64) []byte {
	dst = append(dst, 0, 0, 1, t.pesID, 0, 0)
	dst = append(dst, 0x80|0x04) // data alignment: a unit begins here
	if pts == dts {
		dst = append(dst, 0x80, 5)
		return appendTimestamp(dst, 2, pts)
	}
	dst = append(dst, 0xc0, 10)
	return appendTimestamp(appendTimestamp(dst, 3, pts), 1, dts)
}

// appendTimestamp appends the lower 33 bits of a time in 90 kHz.
func appendTimestamp(dst []byte, prefix byte, t int64) []byte {
	return append(dst, prefix<<4|byte(t>>30&7)<<1|1, byte(t>>22), byte(t>>15&0x7f)<<1|1, byte(t>>7), byte(t&0x7f)<<1|1)
}

// setPESLength sets the length, which only video may leave open.
func setPESLength(pes []byte, t *track) {
	if n := len(pes) - 6; t.pesID != idVideo && n <= 0xffff {
		binary.BigEndian.PutUint16(pes[4:], uint16(n))
	}
}
