// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package camera

import (
	"math"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/g711"
)

// G711 synthesises a track of G.711 at 8 kHz mono, µ-law or A-law, in packets of 20 ms: 80 ms of beep each
// second.
func G711(muLaw bool) (*Track, error) {
	const (
		rate  = 8000
		frame = rate / 50
		beep  = rate * 80 / 1000
	)
	pcm := make([]byte, 2*rate) // 16 bits, big endian
	for i := range beep {
		fade := min(1, float64(min(i, beep-i))/80)
		v := int16(6000 * fade * math.Sin(2*math.Pi*880*float64(i)/rate))
		pcm[2*i], pcm[2*i+1] = byte(v>>8), byte(v)
	}

	frm := &format.G711{PayloadTyp: payloadTypePCMA, MULaw: muLaw, SampleRate: rate, ChannelCount: 1}
	marshal := g711.Alaw(pcm).Marshal
	if muLaw {
		frm.PayloadTyp = payloadTypePCMU
		marshal = g711.Mulaw(pcm).Marshal
	}
	samples, err := marshal()
	if err != nil {
		return nil, err
	}

	var frames [][]byte
	for i := 0; i < rate; i += frame {
		frames = append(frames, samples[i:i+frame])
	}
	return simpleTrack(frm, frames)
}

// Unknown returns a track of a format that nobody here understands (Speex, RFC 5574, with one packet a second
// of arbitrary bytes), to test that such a track is skipped.
func Unknown() (*Track, error) {
	return simpleTrack(&format.Speex{PayloadTyp: payloadTypeOther, SampleRate: 16000}, [][]byte{[]byte("unknown")})
}

// simpleTrack spreads frames, one packet each, evenly over one second.
func simpleTrack(frm format.Format, frames [][]byte) (*Track, error) {
	track := &Track{Format: frm, Period: time.Second}
	for i, frame := range frames {
		at := int64(i) * int64(frm.ClockRate()) / int64(len(frames))
		payload := [][]byte{frame}
		packets, err := onePacket(payload)
		if err != nil {
			return nil, err
		}
		track.Units = append(track.Units, &Unit{
			PTS: at, DTS: at, RandomAccess: true, Payload: payload, packets: packets,
		})
	}
	return track, nil
}
