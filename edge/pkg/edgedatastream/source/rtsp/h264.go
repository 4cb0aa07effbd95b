// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"errors"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph264"
	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/pion/rtp"

	"github.com/kubeedge/datastream/pkg/media"
)

// neverIDR is the number of pictures without an IDR after which a camera is taken to send none at all, and its
// recovery points (ITU-T H.264, D.2.8) to be random access points. Before that they may be those of open GOPs,
// whose leading pictures would be broken.
const neverIDR = 600

type h264Codec struct {
	format    *format.H264
	rtp       *rtph264.Decoder
	extractor *h264.DTSExtractor
	sinceIDR  int
}

func (c *h264Codec) reset() (err error) {
	if c.extractor == nil {
		c.resetDTS()
	}
	c.rtp, err = c.format.CreateDecoder()
	return err
}

func (c *h264Codec) decode(pkt *rtp.Packet) ([][]byte, error) {
	nalus, err := c.rtp.Decode(pkt)
	if errors.Is(err, rtph264.ErrMorePacketsNeeded) {
		err = errMore
	}
	return nalus, err
}

func (c *h264Codec) kind(nalu []byte) nalKind {
	switch h264.NALUType(nalu[0] & 0x1F) {
	case h264.NALUTypeNonIDR, h264.NALUTypeDataPartitionA, h264.NALUTypeIDR:
		return nalSlice
	case h264.NALUTypeSPS:
		return nalSPS
	case h264.NALUTypePPS:
		return nalPPS
	case h264.NALUTypeAccessUnitDelimiter, h264.NALUTypeFillerData, h264.NALUTypeEndOfSequence, h264.NALUTypeEndOfStream:
		return nalDiscard
	}
	return nalOther
}

func (c *h264Codec) ppsID(nalu []byte) (uint32, error) {
	pos := 8
	return bits.ReadGolombUnsigned(nalu, &pos)
}

func (c *h264Codec) inspect(nalus [][]byte, _ *media.Track) picture {
	p := picture{disposable: true}
	idr, recovery, slices := false, false, 0
	for _, nalu := range nalus {
		switch typ := h264.NALUType(nalu[0] & 0x1F); typ {
		case h264.NALUTypeNonIDR, h264.NALUTypeDataPartitionA, h264.NALUTypeIDR:
			if slices == 0 { // first_mb_in_slice is 0, which is coded as a single 1 bit (7.3.3, 9.1)
				p.whole = len(nalu) > 1 && nalu[1]&0x80 != 0
			}
			slices++
			idr = idr || typ == h264.NALUTypeIDR
			p.disposable = p.disposable && nalu[0]&0x60 == 0 // nal_ref_idc
		case h264.NALUTypeSEI:
			recovery = recovery || hasRecoveryPoint(nalu[1:])
		}
	}
	if idr {
		c.sinceIDR = 0
	} else {
		c.sinceIDR++
	}
	p.randomAccess = idr || recovery && c.sinceIDR > neverIDR
	return p
}

// hasRecoveryPoint looks through the messages of an SEI NAL unit (7.3.2.3.1) for payload type 6.
func hasRecoveryPoint(sei []byte) bool {
	number := func() int {
		n := 0
		for len(sei) > 0 {
			b := sei[0]
			sei = sei[1:]
			n += int(b)
			if b != 0xFF {
				return n
			}
		}
		return -1
	}
	for len(sei) > 2 {
		typ, size := number(), number()
		if typ == 6 {
			return true
		}
		if size < 0 || size > len(sei) {
			return false
		}
		sei = sei[size:]
	}
	return false
}

func (c *h264Codec) resetDTS() {
	c.extractor = &h264.DTSExtractor{}
	c.extractor.Initialize()
}

func (c *h264Codec) dts(nalus [][]byte, pts int64) (int64, error) {
	return c.extractor.Extract(nalus, pts)
}
