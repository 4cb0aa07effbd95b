// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

// visualEntry appends a VisualSampleEntry (ISO/IEC 14496-12, 12.1.3).
func (b *boxes) visualEntry(name string, width, height uint16, config func()) {
	b.box(name, func() {
		b.zeros(6)
		b.u16(1) // data reference
		b.zeros(16)
		b.u16(width, height)
		b.u32(0x480000, 0x480000) // 72 dpi
		b.u32(0)
		b.u16(1) // pictures a sample
		b.zeros(32)
		b.u16(24, 0xffff) // depth
		config()
	})
}

// audioEntry appends an AudioSampleEntry (ISO/IEC 14496-12, 12.2.3).
func (b *boxes) audioEntry(name string, t *track, config func()) {
	rate := uint32(t.ClockRate)
	if rate > 0xffff {
		rate = 0 // does not fit; decoders take it from config
	}
	b.box(name, func() {
		b.zeros(6)
		b.u16(1) // data reference
		b.zeros(8)
		b.u16(uint16(t.Channels), 16)
		b.u32(0, rate<<16)
		config()
	})
}

// avcC appends the AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1). The lengths of NAL units take four bytes.
func (b *boxes) avcC(t *track) {
	b.box("avcC", func() {
		b.u8(1, t.SPS[1], t.SPS[2], t.SPS[3], 0xfc|3, 0xe0|1)
		b.parameter(t.SPS)
		b.u8(1)
		b.parameter(t.PPS)
		switch t.SPS[1] {
		case 100, 110, 122, 144:
			var sps h264.SPS
			if sps.Unmarshal(t.SPS) == nil {
				b.u8(0xfc|byte(sps.ChromaFormatIdc), 0xf8|byte(sps.BitDepthLumaMinus8), 0xf8|byte(sps.BitDepthChromaMinus8), 0)
			}
		}
	})
}

// hvcC appends the HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1).
func (b *boxes) hvcC(t *track) {
	p, err := parseHEVCProfile(t.SPS)
	var sps h265.SPS
	if err != nil || sps.Unmarshal(t.SPS) != nil {
		return // media.Track.Validate says so before
	}
	layers := p.sps[2]>>1&7 + 1
	nested := p.sps[2] & 1
	b.box("hvcC", func() {
		b.u8(1, p.head)
		b.u32(p.compatibility)
		b.u8(p.constraints[:]...)
		b.u8(p.level)
		b.u16(0xf000) // spatial segmentation: unknown
		b.u8(0xfc)    // parallelism: unknown
		b.u8(0xfc|byte(sps.ChromaFormatIdc), 0xf8|byte(sps.BitDepthLumaMinus8), 0xf8|byte(sps.BitDepthChromaMinus8))
		b.u16(0) // frame rate: unknown
		b.u8(layers<<3 | nested<<2 | 3)
		b.u8(3)
		for _, nalu := range [][]byte{t.VPS, t.SPS, t.PPS} {
			b.u8(0x80 | nalu[0]>>1&0x3f) // all of this type
			b.u16(1)
			b.parameter(nalu)
		}
	})
}

// esds appends the elementary stream descriptor of an AAC track (ISO/IEC 14496-14, 6.7.2).
func (b *boxes) esds(t *track) {
	b.full("esds", 0, 0, func() {
		b.descriptor(3, func() { // ES_Descriptor
			b.u16(uint16(t.number()))
			b.u8(0)
			b.descriptor(4, func() { // DecoderConfigDescriptor
				b.u8(0x40, 5<<2|1) // MPEG-4 audio, audio stream
				b.zeros(3 + 4 + 4) // buffer and bit rates: unknown
				b.descriptor(5, func() { b.u8(t.Config...) })
			})
			b.descriptor(6, func() { b.u8(2) }) // SLConfigDescriptor
		})
	})
}

// dOps appends the OpusSpecificBox (Encapsulation of Opus in ISOBMFF, 4.3.2). RTP knows no pre-skip.
func (b *boxes) dOps(t *track) {
	b.box("dOps", func() {
		b.u8(0, byte(t.Channels))
		b.u16(0)
		b.u32(48000)
		b.u16(0)
		b.u8(0)
	})
}
