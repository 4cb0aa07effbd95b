// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"bytes"
	"errors"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/format/rtph265"
	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/pion/rtp"

	"github.com/kubeedge/datastream/pkg/media"
)

type h265Codec struct {
	format    *format.H265
	rtp       *rtph265.Decoder
	extractor *h265.DTSExtractor

	sps          []byte // that highestLayer was read from
	highestLayer uint8
}

func (c *h265Codec) reset() (err error) {
	if c.extractor == nil {
		c.resetDTS()
	}
	c.rtp, err = c.format.CreateDecoder()
	return err
}

func (c *h265Codec) decode(pkt *rtp.Packet) ([][]byte, error) {
	nalus, err := c.rtp.Decode(pkt)
	if errors.Is(err, rtph265.ErrMorePacketsNeeded) {
		err = errMore
	}
	return nalus, err
}

func h265Type(nalu []byte) h265.NALUType { return h265.NALUType(nalu[0] >> 1 & 0x3F) }

func (c *h265Codec) kind(nalu []byte) nalKind {
	switch typ := h265Type(nalu); typ {
	case h265.NALUType_VPS_NUT:
		return nalVPS
	case h265.NALUType_SPS_NUT:
		return nalSPS
	case h265.NALUType_PPS_NUT:
		return nalPPS
	case h265.NALUType_AUD_NUT, h265.NALUType_FD_NUT, h265.NALUType_EOS_NUT, h265.NALUType_EOB_NUT:
		return nalDiscard
	default:
		if typ < h265.NALUType_VPS_NUT {
			return nalSlice
		}
		return nalOther
	}
}

func (c *h265Codec) ppsID(nalu []byte) (uint32, error) {
	pos := 16
	return bits.ReadGolombUnsigned(nalu, &pos)
}

func (c *h265Codec) inspect(nalus [][]byte, info *media.Track) picture {
	p := picture{disposable: true}
	slices := 0
	for _, nalu := range nalus {
		if c.kind(nalu) != nalSlice {
			continue
		}
		if slices == 0 { // first_slice_segment_in_pic_flag (ITU-T H.265, 7.3.6.1)
			p.whole = len(nalu) > 2 && nalu[2]&0x80 != 0
		}
		slices++
		typ := h265Type(nalu)
		p.randomAccess = p.randomAccess || typ >= h265.NALUType_BLA_W_LP && typ <= h265.NALUType_CRA_NUT
		p.disposable = p.disposable && c.unreferenced(typ, nalu, info.SPS)
	}
	return p
}

// unreferenced says whether a picture is a sub-layer non-reference picture (table 7-1: even types below 16)
// of the highest sub-layer; those of lower ones may be referred to from above.
func (c *h265Codec) unreferenced(typ h265.NALUType, nalu, sps []byte) bool {
	if typ >= h265.NALUType_BLA_W_LP || typ%2 != 0 || len(nalu) < 2 {
		return false
	}
	if !bytes.Equal(c.sps, sps) {
		var parsed h265.SPS
		if parsed.Unmarshal(sps) != nil {
			return false
		}
		c.sps, c.highestLayer = sps, parsed.MaxSubLayersMinus1
	}
	return nalu[1]&7 == c.highestLayer+1 // nuh_temporal_id_plus1
}

func (c *h265Codec) resetDTS() {
	c.extractor = &h265.DTSExtractor{}
	c.extractor.Initialize()
}

func (c *h265Codec) dts(nalus [][]byte, pts int64) (int64, error) {
	return c.extractor.Extract(nalus, pts)
}
