// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fmp4

import "github.com/kubeedge/datastream/pkg/media"

// unity is the transformation that changes nothing (ISO/IEC 14496-12, 6.2.2).
var unity = []uint32{0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000}

// Init returns the initialization segment: ftyp and moov.
func (m *Muxer) Init() []byte {
	b := &boxes{}
	b.box("ftyp", func() {
		b.text("iso5") // the first brand with default-base-is-moof
		b.u32(512)
		b.text("iso5iso6mp41")
	})
	b.box("moov", func() {
		b.full("mvhd", 0, 0, func() {
			b.u32(0, 0, 1000, 0) // created, modified, time scale, duration: unknown
			b.u32(0x10000)       // rate
			b.u16(0x100, 0)      // volume
			b.zeros(8)
			b.u32(unity...)
			b.zeros(24)
			b.u32(m.nextNumber())
		})
		for _, t := range m.tracks {
			b.track(t)
		}
		b.box("mvex", func() {
			for _, t := range m.tracks {
				b.full("trex", 0, 0, func() { b.u32(t.number(), 1, 0, 0, 0) })
			}
		})
	})
	return *b
}

func (m *Muxer) nextNumber() uint32 {
	next := uint32(0)
	for _, t := range m.tracks {
		next = max(next, t.number())
	}
	return next + 1
}

func (b *boxes) track(t *track) {
	video := t.Kind == media.Video
	width, height := t.Size()
	b.box("trak", func() {
		b.full("tkhd", 0, 3, func() { // enabled, in movie
			b.u32(0, 0, t.number(), 0, 0)
			b.zeros(8)
			volume := uint16(0x100)
			if video {
				volume = 0
			}
			b.u16(0, 0, volume, 0)
			b.u32(unity...)
			b.u32(uint32(width)<<16, uint32(height)<<16)
		})
		b.box("mdia", func() {
			b.full("mdhd", 0, 0, func() {
				b.u32(0, 0, uint32(t.ClockRate), 0)
				b.u16(0x55c4, 0) // language: und
			})
			b.full("hdlr", 0, 0, func() {
				handler := "soun"
				if video {
					handler = "vide"
				}
				b.u32(0)
				b.text(handler)
				b.zeros(12)
				b.text(handler + "\x00")
			})
			b.box("minf", func() {
				if video {
					b.full("vmhd", 0, 1, func() { b.zeros(8) })
				} else {
					b.full("smhd", 0, 0, func() { b.zeros(4) })
				}
				b.box("dinf", func() {
					b.full("dref", 0, 0, func() {
						b.u32(1)
						b.full("url ", 0, 1, func() {}) // in this file
					})
				})
				b.sampleTable(t, uint16(width), uint16(height))
			})
		})
	})
}

// sampleTable holds the sample entry; the samples themselves are described by the fragments.
func (b *boxes) sampleTable(t *track, width, height uint16) {
	b.box("stbl", func() {
		b.full("stsd", 0, 0, func() {
			b.u32(1)
			switch t.Codec {
			case media.H264:
				b.visualEntry("avc1", width, height, func() { b.avcC(t) })
			case media.H265:
				b.visualEntry("hvc1", width, height, func() { b.hvcC(t) })
			case media.AAC:
				b.audioEntry("mp4a", t, func() { b.esds(t) })
			case media.Opus:
				b.audioEntry("Opus", t, func() { b.dOps(t) })
			}
		})
		for _, name := range []string{"stts", "stsc", "stco"} {
			b.full(name, 0, 0, func() { b.u32(0) })
		}
		b.full("stsz", 0, 0, func() { b.u32(0, 0) })
	})
}
