// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

import (
	"slices"
	"testing"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4/cliptest"
	"github.com/kubeedge/datastream/pkg/media"
)

// FuzzWriter is an edge that chooses its tracks and the times and payloads of its units, as far as the tunnel lets it. Whole packets come
// out, of tracks that there are, and not many more bytes than went in. Each unit of the script is a byte of flags and track, two of the step
// of its decoding time, one of the offset of its presentation time, one of its payload's length, and the payload.
func FuzzWriter(f *testing.F) {
	const (
		randomAccess  = 0x80
		discontinuity = 0x40
		newTracks     = 0x20 // the byte behind it says which
	)
	for _, name := range []string{cliptest.H264, cliptest.H265} {
		clip := cliptest.Load(f, name)
		v, a := clip.Tracks[0], clip.Tracks[1]
		f.Add(v.VPS, v.SPS, v.PPS, a.Config, uint8(0xff), uint16(48000), []byte{
			randomAccess, 0, 100, 0, 4, 0x65, 1, 2, 3, 0, 10, 0, 5, 2, 0x41, 1, 3 | randomAccess, 0, 1, 0, 3, 1, 2, 3,
			newTracks, 0x02, discontinuity | randomAccess, 0x7f, 0, 1, 2, 0x09, 0xf0,
		})
	}
	f.Fuzz(func(t *testing.T, vps, sps, pps, config []byte, which uint8, clockRate uint16, script []byte) {
		if len(vps)+len(sps)+len(pps)+len(config) > 8<<10 {
			return
		}
		var all []media.Track
		for _, tr := range []media.Track{
			{Kind: media.Video, Codec: media.H264, ClockRate: 90000, SPS: sps, PPS: pps},
			{Kind: media.Video, Codec: media.H265, ClockRate: int(clockRate), VPS: vps, SPS: sps, PPS: pps},
			{Kind: media.Audio, Codec: media.AAC, ClockRate: int(clockRate), Config: config},
			{Kind: media.Audio, Codec: media.Opus, ClockRate: 48000, Channels: 1 + int(which&7)},
			{Kind: media.Audio, Codec: media.PCMA, ClockRate: 8000, Channels: 1},
		} {
			tr.ID = uint8(len(all))
			if tr.Validate() == nil {
				all = append(all, tr)
			}
		}
		chosen := func(which uint8) []media.Track {
			return slices.DeleteFunc(slices.Clone(all), func(tr media.Track) bool { return which>>tr.ID&1 == 0 })
		}
		w := &writer{}
		if w.setTracks(chosen(which)) != nil {
			return
		}
		var dts int64
		for len(script) >= 5 {
			if script[0]&newTracks != 0 {
				_ = w.setTracks(chosen(script[1])) // there may be none that is carried
				script = script[2:]
				continue
			}
			size := min(int(script[4]), len(script)-5)
			tr := &all[int(script[0]&0x0f)%len(all)]
			payload := script[5 : 5+size]
			if tr.Kind == media.Video && size > 0 {
				payload = media.JoinNALUs([][]byte{payload})
			}
			dts += int64(script[1])<<18 + int64(script[2])*100
			offset := int32(int8(script[3])) * 1000
			u := &media.AccessUnit{
				Track: tr.ID, RandomAccess: script[0]&randomAccess != 0, Discontinuity: script[0]&discontinuity != 0,
				PTS: dts + int64(offset), DTSOffset: offset, Payload: payload,
			}
			script = script[5+size:]
			packets, err := w.write(u)
			if err != nil {
				t.Fatal(err) // what the tunnel lets through is no reason to end the output
			}
			in := len(u.Payload)
			if tr.Kind == media.Video {
				in += len(vps) + len(sps) + len(pps)
			}
			if len(packets)%packetSize != 0 || len(packets) > 2*in+10*packetSize {
				t.Fatalf("%d bytes of %d", len(packets), in)
			}
			for packet := range slices.Chunk(packets, packetSize) {
				known := slices.ContainsFunc(w.tracks, func(tr *track) bool { return tr.pid() == pid(packet) })
				if packet[0] != syncByte || !known && pid(packet) != 0 && pid(packet) != pmtPID {
					t.Fatalf("packet of PID %#x begins with %#x", pid(packet), packet[0])
				}
			}
		}
	})
}
