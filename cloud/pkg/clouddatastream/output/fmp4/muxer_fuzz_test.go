// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fmp4_test

import (
	"bytes"
	"mime"
	"testing"

	mcfmp4 "github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4/cliptest"
	"github.com/kubeedge/datastream/pkg/media"
)

// FuzzMuxer is an edge that chooses its tracks and a unit, as far as the tunnel lets it. Somebody else's reader finds
// the payload again, and the media type is one that may stand in a header.
func FuzzMuxer(f *testing.F) {
	for _, name := range []string{cliptest.H264, cliptest.BFrames, cliptest.H265} {
		clip := cliptest.Load(f, name)
		v, a, u := clip.Tracks[0], clip.Tracks[1], clip.Units[0]
		f.Add(v.VPS, v.SPS, v.PPS, a.Config, 90000, u.PTS, u.DTSOffset, []byte{0x65, 1, 2, 3}, []byte{1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, vps, sps, pps, config []byte, clockRate int, pts int64, offset int32, picture, sound []byte) {
		var tracks []media.Track
		for _, tr := range []media.Track{
			{Kind: media.Video, Codec: media.H264, ClockRate: clockRate, SPS: sps, PPS: pps},
			{Kind: media.Video, Codec: media.H265, ClockRate: clockRate, VPS: vps, SPS: sps, PPS: pps},
			{Kind: media.Audio, Codec: media.AAC, ClockRate: clockRate, Config: config},
			{Kind: media.Audio, Codec: media.Opus, ClockRate: 48000, Channels: len(config)},
		} {
			tr.ID = uint8(len(tracks))
			if tr.Validate() == nil {
				tracks = append(tracks, tr)
			}
		}
		m, err := fmp4.NewMuxer(tracks)
		if err != nil {
			return
		}
		if _, _, err := mime.ParseMediaType(m.MIME()); err != nil {
			t.Fatalf("%s: %v", m.MIME(), err)
		}
		if len(m.Init()) > 8<<10+4*(len(vps)+len(sps)+len(pps)+len(config)) {
			t.Fatalf("an initialization segment of %d bytes", len(m.Init()))
		}
		if len(m.Skipped()) < len(tracks) {
			var init mcfmp4.Init
			if err := init.Unmarshal(bytes.NewReader(m.Init())); err != nil || len(init.Tracks) != len(tracks)-len(m.Skipped()) {
				t.Fatalf("%d tracks of %d, %d skipped: %v", len(init.Tracks), len(tracks), len(m.Skipped()), err)
			}
		}
		const limit = 1 << 56 // the tunnel's
		pts, offset = pts%limit, offset%(1<<30)
		for i := range tracks {
			u := &media.AccessUnit{Track: tracks[i].ID, RandomAccess: true, PTS: pts, DTSOffset: offset, Payload: sound}
			if tracks[i].Kind == media.Video && len(picture) > 0 {
				u.Payload = media.JoinNALUs([][]byte{picture})
			}
			b, err := m.Fragment(u)
			if err != nil {
				t.Fatal(err)
			}
			if b == nil {
				continue
			}
			if _, pt, s := parseSample(t, b); !bytes.Equal(s.Payload, u.Payload) || pt.ID != int(u.Track)+1 {
				t.Fatalf("%x became %x of track %d", u.Payload, s.Payload, pt.ID)
			}
		}
	})
}
