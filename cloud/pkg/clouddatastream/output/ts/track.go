// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

import (
	"bytes"
	"math/bits"

	"github.com/asticode/go-astits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/kubeedge/datastream/pkg/media"
)

// firstPID is above the PIDs that are reserved. A track's is firstPID + its ID, so that it stays the same for all of a
// stream.
const firstPID = 0x100

// Access unit delimiters that allow every type of slice. Players of Apple want one in front of each unit.
var (
	delimiterH264 = []byte{0x09, 0xf0}
	delimiterH265 = []byte{0x46, 0x01, 0x50}
)

// track is a track that is carried.
type track struct {
	media.Track
	aac mpeg4audio.AudioSpecificConfig

	broken  bool  // the next packet does not follow on the one before
	counter uint8 // of the newest packet
	led     int64 // the lead's newest decoding time when ahead was measured
	ahead   int64 // how far the track was before the lead then
}

// newTrack says not ok where MPEG-TS does not carry the track.
func newTrack(mt *media.Track) (t *track, ok bool) {
	t = &track{Track: *mt}
	switch t.Codec {
	case media.H264, media.H265, media.Opus:
		return t, true
	case media.AAC:
		// ADTS has no code for some sample rates and numbers of channels.
		ok = t.aac.Unmarshal(t.Config) == nil
		if ok {
			_, err := t.adts(nil)
			ok = err == nil
		}
		return t, ok
	default:
		return nil, false
	}
}

// follows says whether what was made for old holds for the track too. Parameter sets may differ: they are in-band.
func (t *track) follows(old *track) bool {
	return t.ID == old.ID && t.Codec == old.Codec && t.Channels == old.Channels && bytes.Equal(t.Config, old.Config)
}

func (t *track) pid() uint16 { return firstPID + uint16(t.ID) }

// time converts ticks of the track's clock to the 90 kHz clock of MPEG-TS. The product may take more than 64 bits.
func (t *track) time(ticks int64) int64 {
	hi, lo := bits.Mul64(uint64(max(ticks, 0)), clockRate)
	q, _ := bits.Div64(hi, lo, uint64(t.ClockRate))
	return startTime + int64(q)
}

// entry is what the PMT says of the track. The library takes a descriptor of length zero for none, and computes the length itself.
func (t *track) entry() astits.PMTElementaryStream {
	es := astits.PMTElementaryStream{ElementaryPID: t.pid()}
	switch t.Codec {
	case media.H264:
		es.StreamType = astits.StreamTypeH264Video
	case media.H265:
		es.StreamType = astits.StreamTypeH265Video
	case media.AAC:
		es.StreamType = astits.StreamTypeADTS
	case media.Opus:
		// The Opus project's draft on its encapsulation in ISO/IEC 13818-1: the number of channels is the configuration.
		es.StreamType = astits.StreamTypePrivateData
		es.ElementaryStreamDescriptors = []*astits.Descriptor{
			{Length: 1, Tag: astits.DescriptorTagRegistration, Registration: &astits.DescriptorRegistration{FormatIdentifier: 'O'<<24 | 'p'<<16 | 'u'<<8 | 's'}},
			{Length: 1, Tag: astits.DescriptorTagExtension, Extension: &astits.DescriptorExtension{Tag: 0x80, Unknown: &[]uint8{uint8(t.Channels)}}},
		}
	}
	return es
}

func (t *track) streamID() uint8 {
	if t.Kind == media.Video {
		return 0xe0
	}
	return 0xc0
}

// data is what a PES packet carries of a unit: nothing where there is nothing to show.
func (t *track) data(u *media.AccessUnit) ([]byte, error) {
	switch t.Codec {
	case media.AAC:
		if len(u.Payload) > maxAAC {
			return nil, nil // no reason to end the picture
		}
		return t.adts(u.Payload)
	case media.Opus:
		return append(opusHeader(len(u.Payload)), u.Payload...), nil
	}
	nalus, err := t.NALUs(u.Payload, u.RandomAccess)
	if err != nil || len(nalus) == 0 {
		return nil, err
	}
	delimiter := delimiterH264
	if t.Codec == media.H265 {
		delimiter = delimiterH265
	}
	return h264.AnnexB(append([][]byte{delimiter}, nalus...)).Marshal() // H.265 has the same
}

func (t *track) adts(frame []byte) ([]byte, error) {
	return mpeg4audio.ADTSPackets{{
		Type: t.aac.Type, SampleRate: t.aac.SampleRate, ChannelCount: t.aac.ChannelCount, AU: frame,
	}}.Marshal()
}

// opusHeader is the control header of an Opus packet without trimming, of the same draft: 11 bits of prefix, five of flags, and the size in bytes
// of which each but the last is 255.
func opusHeader(size int) []byte {
	header := []byte{0x7f, 0xe0}
	for ; size >= 255; size -= 255 {
		header = append(header, 255)
	}
	return append(header, byte(size))
}
