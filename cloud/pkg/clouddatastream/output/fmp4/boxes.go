// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fmp4

import "encoding/binary"

// boxes builds nested boxes (ISO/IEC 14496-12, 4.2).
type boxes []byte

// box appends a box and then what body appends, which becomes its content.
func (b *boxes) box(name string, body func()) {
	start := len(*b)
	*b = appendHeader(*b, 0, name)
	body()
	binary.BigEndian.PutUint32((*b)[start:], uint32(len(*b)-start))
}

// full appends a box with version and flags.
func (b *boxes) full(name string, version uint8, flags uint32, body func()) {
	b.box(name, func() {
		b.u32(uint32(version)<<24 | flags)
		body()
	})
}

func (b *boxes) u8(v ...byte)  { *b = append(*b, v...) }
func (b *boxes) text(s string) { *b = append(*b, s...) }
func (b *boxes) zeros(n int)   { *b = append(*b, make([]byte, n)...) }
func (b *boxes) u16(v ...uint16) {
	for _, v := range v {
		*b = binary.BigEndian.AppendUint16(*b, v)
	}
}

func (b *boxes) u32(v ...uint32) {
	for _, v := range v {
		*b = binary.BigEndian.AppendUint32(*b, v)
	}
}

// parameter appends a parameter set behind its length.
func (b *boxes) parameter(nalu []byte) {
	b.u16(uint16(len(nalu)))
	b.u8(nalu...)
}

// descriptor appends a descriptor of MPEG-4 systems (ISO/IEC 14496-1, 8.3.3) with a length of four bytes.
func (b *boxes) descriptor(tag byte, body func()) {
	b.u8(tag)
	start := len(*b)
	b.zeros(4)
	body()
	n := len(*b) - start - 4
	copy((*b)[start:], []byte{0x80 | byte(n>>21), 0x80 | byte(n>>14), 0x80 | byte(n>>7), byte(n) & 0x7f})
}
