// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/media"
)

func (t *track) initAAC(config *mpeg4audio.AudioSpecificConfig, decode func(*rtp.Packet) ([][]byte, error)) error {
	b, err := config.Marshal()
	if err != nil {
		return fmt.Errorf("its configuration is invalid: %w", err)
	}
	t.info.Codec, t.info.Config, t.info.Channels = media.AAC, b, config.ChannelCount
	if err := t.info.Validate(); err != nil { // a sample rate of zero, for one
		return err
	}
	samples := int64(mpeg4audio.SamplesPerAccessUnit)
	if config.FrameLengthFlag {
		samples = 960 // ISO/IEC 14496-3, 4.5.1.1
	}
	t.depacketizer = &audio{track: t, decode: decode, ticks: samples * int64(t.info.ClockRate) / int64(config.SampleRate)}
	return nil
}

// initLATM takes LATM (RFC 6416) with one layer and its configuration in the SDP, as cameras send it.
func (t *track) initLATM(f *format.MPEG4AudioLATM) error {
	c := f.StreamMuxConfig
	if f.CPresent || c == nil || len(c.Programs) != 1 || len(c.Programs[0].Layers) != 1 {
		return errors.New("only LATM with one layer and its configuration in the SDP is supported")
	}
	d, err := f.CreateDecoder()
	if err != nil {
		return err
	}
	return t.initAAC(c.Programs[0].Layers[0].AudioSpecificConfig, func(pkt *rtp.Packet) ([][]byte, error) {
		b, err := d.Decode(pkt)
		if err != nil {
			return nil, err
		}
		element := mpeg4audio.AudioMuxElement{StreamMuxConfig: c}
		if err := element.Unmarshal(b); err != nil {
			return nil, err
		}
		var frames [][]byte
		for _, subframe := range element.Payloads {
			frames = append(frames, subframe[0][0])
		}
		return frames, nil
	})
}

// onePacket is the decoder of formats whose packets are frames: Opus (RFC 7587) and G.711 (RFC 3551).
func onePacket(pkt *rtp.Packet) ([][]byte, error) { return [][]byte{pkt.Payload}, nil }

// audio makes each frame a unit.
type audio struct {
	*track
	decode func(*rtp.Packet) ([][]byte, error)
	ticks  int64 // from one frame of a packet to the next
}

func (a *audio) packet(pkt *rtp.Packet, pts int64) {
	frames, err := a.decode(pkt)
	if err != nil {
		return // more packets are needed, or a frame is gone: the next one stands alone
	}
	for i, frame := range frames {
		if len(frame) == 0 {
			continue
		}
		if len(frame) > a.maxPayload {
			a.sink.Lost(media.Audio, source.LostOversized)
			continue
		}
		a.emit(&media.AccessUnit{RandomAccess: true, PTS: pts + int64(i)*a.ticks, Payload: slices.Clone(frame)})
	}
}

func (a *audio) lost() { a.sink.Lost(media.Audio, source.LostPackets) }
