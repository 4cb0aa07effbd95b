// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/kubeedge/datastream/pkg/media"
)

// Stream types (ISO/IEC 13818-1, 2.4.4.10) and PES stream IDs (2.4.3.7).
const (
	typeH264    = 0x1b
	typeH265    = 0x24
	typeAAC     = 0x0f
	typePrivate = 0x06

	idVideo   = 0xe0
	idAudio   = 0xc0
	idPrivate = 0xbd
)

// startCode precedes each NAL unit (ITU-T H.264, B.1). It is as long as the length that it takes the place of.
const startCode = 1

// Access unit delimiters that allow all slice types.
var (
	audH264 = []byte{byte(h264.NALUTypeAccessUnitDelimiter), 0xf0}
	audH265 = []byte{byte(h265.NALUType_AUD_NUT) << 1, 1, 0x50}
)

// opusDescriptorLen is the length of the longest descriptors, which are those of Opus.
const opusDescriptorLen = 6 + 4

var (
	errNAL   = errors.New("NAL unit lengths do not add up to the payload")
	errFrame = errors.New("audio frame does not fit a packet")
)

// track is a track that is carried.
type track struct {
	media.Track
	pid         uint16
	streamType  byte
	pesID       byte
	descriptors []byte
	delimiter   []byte // access unit delimiter behind its start code
	parameter   []byte // parameter sets, each behind a start code
	adts        []byte // header of an ADTS frame, but for its length
}

// newTrack says not ok where MPEG-TS does not carry the track.
func newTrack(mt *media.Track) (t *track, ok bool) {
	t = &track{Track: *mt, pid: firstPID + uint16(mt.ID)}
	switch t.Codec {
	case media.H264:
		t.streamType, t.pesID = typeH264, idVideo
		t.delimiter, t.parameter = annexB(audH264), annexB(t.SPS, t.PPS)
	case media.H265:
		t.streamType, t.pesID = typeH265, idVideo
		t.delimiter, t.parameter = annexB(audH265), annexB(t.VPS, t.SPS, t.PPS)
	case media.AAC:
		t.streamType, t.pesID = typeAAC, idAudio
		var c mpeg4audio.AudioSpecificConfig
		if c.Unmarshal(t.Config) != nil {
			return nil, false
		}
		header, err := mpeg4audio.ADTSPackets{{Type: c.Type, SampleRate: c.SampleRate, ChannelCount: c.ChannelCount}}.Marshal()
		if err != nil {
			return nil, false // a sample rate or a number of channels that ADTS has no code for
		}
		t.adts = header
	case media.Opus:
		t.streamType, t.pesID = typePrivate, idPrivate
		t.descriptors = []byte{
			0x05, 4, 'O', 'p', 'u', 's', // registration descriptor
			0x7f, 2, 0x80, byte(t.Channels), // extension descriptor, ETSI TS Opus 0.1.3-draft
		}
	default:
		return nil, false
	}
	return t, true
}

func annexB(nalus ...[]byte) []byte {
	var b []byte
	for _, n := range nalus {
		b = binary.BigEndian.AppendUint32(b, startCode)
		b = append(b, n...)
	}
	return b
}

// time converts ticks of the track's clock to the 90 kHz clock of MPEG-TS. The product may take more than 64 bits.
func (t *track) time(ticks int64) int64 {
	hi, lo := bits.Mul64(uint64(max(ticks, 0)), clockRate)
	q, _ := bits.Div64(hi, lo, uint64(t.ClockRate))
	return startTime + int64(q)
}

// appendElementary appends the unit in the form of the elementary stream.
func (t *track) appendElementary(dst []byte, u *media.AccessUnit) ([]byte, error) {
	switch t.Codec {
	case media.AAC:
		return t.appendADTS(dst, u.Payload)
	case media.Opus:
		return appendOpus(dst, u.Payload), nil
	default:
		return t.appendAnnexB(dst, u)
	}
}

// appendAnnexB appends the NAL units in the byte stream format: delimiter, parameter sets if random access, payload.
func (t *track) appendAnnexB(dst []byte, u *media.AccessUnit) ([]byte, error) {
	payload := u.Payload
	dst = append(dst, t.delimiter...)
	if n := t.leadingDelimiter(payload); n > 0 {
		payload = payload[n:] // ours replaces it: the parameter sets come behind it
	}
	if u.RandomAccess {
		dst = append(dst, t.parameter...)
	}
	start := len(dst)
	dst = append(dst, payload...)
	for rest := dst[start:]; len(rest) > 0; {
		if len(rest) < 4 {
			return dst, errNAL
		}
		n := uint64(binary.BigEndian.Uint32(rest))
		if n > uint64(len(rest)-4) {
			return dst, errNAL
		}
		binary.BigEndian.PutUint32(rest, startCode)
		rest = rest[4+n:]
	}
	return dst, nil
}

// leadingDelimiter is the length of a delimiter that the payload begins with, or zero.
func (t *track) leadingDelimiter(payload []byte) int {
	n := len(t.delimiter)
	if len(payload) < n || binary.BigEndian.Uint32(payload) != uint32(n-4) {
		return 0
	}
	kind, want := payload[4]&0x1f, t.delimiter[4]
	if t.Codec == media.H265 {
		kind = payload[4] & 0x7e
	}
	if kind != want {
		return 0
	}
	return n
}

// appendADTS appends an AAC frame behind its header (ISO/IEC 14496-3, 1.A.2.2).
func (t *track) appendADTS(dst, frame []byte) ([]byte, error) {
	n := len(t.adts) + len(frame)
	if n > 0x1fff {
		return dst, errFrame
	}
	start := len(dst)
	dst = append(dst, t.adts...)
	h := dst[start:]
	h[3] = h[3]&^0x03 | byte(n>>11)
	h[4] = byte(n >> 3)
	h[5] = h[5]&0x1f | byte(n<<5)
	return append(dst, frame...), nil
}

// appendOpus appends an Opus packet behind its control header (ETSI TS Opus 0.1.3-draft).
func appendOpus(dst, packet []byte) []byte {
	dst = append(dst, 0x7f, 0xe0)
	n := len(packet)
	for ; n >= 255; n -= 255 {
		dst = append(dst, 255)
	}
	dst = append(dst, byte(n))
	return append(dst, packet...)
}
