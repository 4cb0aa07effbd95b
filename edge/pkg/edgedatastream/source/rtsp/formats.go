// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"errors"

	"github.com/bluenviron/gortsplib/v4/pkg/format"

	"github.com/kubeedge/datastream/pkg/media"
)

// init fills in the track's info and chooses its depacketizer. An error says in a few words why the format
// cannot be carried.
func (t *track) init() error {
	t.info.Kind = media.Audio
	switch f := t.format.(type) {
	case *format.H264:
		t.info.Kind, t.info.Codec, t.info.SPS, t.info.PPS = media.Video, media.H264, f.SPS, f.PPS
		return t.initVideo(&h264Codec{format: f})
	case *format.H265:
		t.info.Kind, t.info.Codec, t.info.VPS, t.info.SPS, t.info.PPS = media.Video, media.H265, f.VPS, f.SPS, f.PPS
		return t.initVideo(&h265Codec{format: f})
	case *format.MPEG4Audio:
		d, err := f.CreateDecoder()
		if err != nil {
			return err
		}
		return t.initAAC(f.Config, d.Decode)
	case *format.MPEG4AudioLATM:
		return t.initLATM(f)
	case *format.Opus:
		t.info.Codec, t.info.Channels = media.Opus, f.ChannelCount
	case *format.G711:
		t.info.Codec, t.info.Channels = media.PCMA, f.ChannelCount
		if f.MULaw {
			t.info.Codec = media.PCMU
		}
	default:
		return errors.New("the codec is not supported")
	}
	t.depacketizer = &audio{track: t, decode: onePacket}
	return t.info.Validate()
}
