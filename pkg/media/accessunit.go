// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

// AccessUnit is everything of one track with one timestamp. It is the unit of transport,
// caching and dropping, and is immutable once made: many readers share it.
type AccessUnit struct {
	// Track is the ID of the track.
	Track uint8
	// RandomAccess: a decoder can begin here (IDR, CRA, BLA; every audio unit).
	RandomAccess bool
	// Disposable: no other unit refers to this one.
	Disposable bool
	// Discontinuity: the source's clock began anew here, for all tracks. As outputs get it: a random access point of the lead that does not
	// follow on what was before, for units are missing or the source began anew.
	Discontinuity bool
	// Sequence counts the units of a stream, all tracks together. A gap means units that were dropped.
	Sequence uint64
	// PTS is the presentation time in ticks of the track's clock; tracks share their zero.
	PTS int64
	// DTSOffset is PTS minus decoding time, in ticks.
	DTSOffset int32
	// Capture is when the unit reached the edge, by the edge's clock.
	Capture time.Time
	// Payload: H.264 and H.265 as NAL units with a 4-byte big-endian length each
	// (ISO/IEC 14496-15) and without parameter sets; AAC, Opus and G.711 as one raw frame.
	Payload []byte
}

// DTS is the decoding time in ticks.
func (u *AccessUnit) DTS() int64 { return u.PTS - int64(u.DTSOffset) }

var errNAL = errors.New("NAL unit lengths do not add up to the payload")

// NALUs splits a length-prefixed payload into its NAL units, appended to dst, without copying.
func NALUs(dst [][]byte, payload []byte) ([][]byte, error) {
	for len(payload) > 0 {
		if len(payload) < 4 {
			return dst, errNAL
		}
		n := uint64(binary.BigEndian.Uint32(payload))
		if n == 0 || n > uint64(len(payload)-4) {
			return dst, errNAL
		}
		dst = append(dst, payload[4:4+n:4+n])
		payload = payload[4+n:]
	}
	return dst, nil
}

// NALUs splits a payload of an H.264 or H.265 track into NAL units, and puts the parameter sets in front if asked to. A leading access
// unit delimiter is left out: it would have to be the first of all (ITU-T H.264, 7.4.1.2.3), and containers have
// their own rules for it.
func (t *Track) NALUs(payload []byte, parameterSets bool) ([][]byte, error) {
	var nalus [][]byte
	if parameterSets {
		if t.Codec == H265 {
			nalus = append(nalus, t.VPS)
		}
		nalus = append(nalus, t.SPS, t.PPS)
	}
	sets := len(nalus)
	nalus, err := NALUs(nalus, payload)
	if err != nil {
		return nil, err
	}
	if len(nalus) > sets && t.isDelimiter(nalus[sets]) {
		nalus = slices.Delete(nalus, sets, sets+1)
	}
	return nalus, nil
}

func (t *Track) isDelimiter(nalu []byte) bool {
	if t.Codec == H265 {
		return h265.NALUType(nalu[0]>>1&0x3f) == h265.NALUType_AUD_NUT
	}
	return h264.NALUType(nalu[0]&0x1f) == h264.NALUTypeAccessUnitDelimiter
}

// JoinNALUs is the inverse of NALUs: each NAL unit behind its length.
func JoinNALUs(nalus [][]byte) []byte {
	size := 0
	for _, n := range nalus {
		size += 4 + len(n)
	}
	out := make([]byte, 0, size)
	for _, n := range nalus {
		out = binary.BigEndian.AppendUint32(out, uint32(len(n)))
		out = append(out, n...)
	}
	return out
}

// ValidatePayload checks that a payload has the shape that its track's codec asks for.
func ValidatePayload(t *Track, payload []byte) error {
	if len(payload) == 0 {
		return errors.New("empty payload")
	}
	if t.Codec != H264 && t.Codec != H265 {
		return nil
	}
	for len(payload) > 0 {
		if len(payload) < 4 {
			return errNAL
		}
		n := uint64(binary.BigEndian.Uint32(payload))
		if n == 0 || n > uint64(len(payload)-4) {
			return errNAL
		}
		payload = payload[4+n:]
	}
	return nil
}
