// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/sdp"
	"github.com/pion/rtp"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const fuzzMaxPayload = 400

// Parameter sets of a 1920x1080 H.265 stream.
var (
	hevcVPS = []byte{0x40, 0x01, 0x0c, 0x01}
	hevcSPS = []byte{
		0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x78, 0xa0, 0x03, 0xc0,
		0x80, 0x10, 0xe5, 0x96, 0x66, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80,
	}
	hevcPPS = []byte{0x44, 0x01, 0xc1, 0x72}
	hevcIDR = []byte{0x26, 0x01, 0xaf, 0x08}
	hevcP   = []byte{0x02, 0x01, 0xd0, 0x10}
)

// checker is a sink that does not believe its source: whatever a camera sends, these hold.
type checker struct {
	*testing.T
	tracks []media.Track
	units  int
}

// Tracks implements source.Sink: they are valid, and the cloud can be told of them.
func (c *checker) Tracks(tracks []media.Track, skipped []tunnel.SkippedTrack) {
	if err := media.ValidateTracks(tracks); err != nil {
		c.Fatalf("tracks that the cloud refuses: %v", err)
	}
	if _, err := tunnel.EncodeMessage(&tunnel.Tracks{Tracks: tracks, Skipped: skipped}); err != nil {
		c.Fatal(err)
	}
	c.tracks = tracks
}

// Unit implements source.Sink: it is of a known track, within its bounds, and as the cloud wants it.
func (c *checker) Unit(u *media.AccessUnit) {
	track := media.Find(c.tracks, u.Track)
	switch {
	case track == nil:
		c.Fatalf("unit of track %d, which nobody announced", u.Track)
	case len(u.Payload) > fuzzMaxPayload:
		c.Fatalf("unit of %d bytes", len(u.Payload))
	case c.units == 0 && (!u.RandomAccess || u.Track != media.Lead(c.tracks).ID):
		c.Fatal("the stream does not begin with a random access point of its lead")
	}
	if err := media.ValidatePayload(track, u.Payload); err != nil {
		c.Fatal(err)
	}
	got, err := tunnel.ParseHeader(tunnel.AppendHeader(nil, u))
	if err != nil || got.PTS != u.PTS || got.DTSOffset != u.DTSOffset {
		c.Fatalf("unit with times %d, %d: %v", u.PTS, u.DTSOffset, err)
	}
	c.units++
}

func (*checker) Lost(media.Kind, string) {}

// describe is what the RTSP client does with the body of DESCRIBE's answer.
func describe(body []byte) (*description.Session, error) {
	var s sdp.SessionDescription
	if err := s.Unmarshal(body); err != nil {
		return nil, err
	}
	var desc description.Session
	return &desc, desc.Unmarshal(&s)
}

// mediaSDP is the description of a session with these media sections.
func mediaSDP(sections ...string) []byte {
	out := "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
	for i, s := range sections {
		out += fmt.Sprintf("%sa=control:trackID=%d\r\n", s, i)
	}
	return []byte(out)
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// Sections of a session description.
var (
	sdpH264 = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; sprop-parameter-sets=" +
		base64Of(sps) + "," + base64Of(pps) + "\r\n"
	sdpH264InBand = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
	sdpH265       = "m=video 0 RTP/AVP 97\r\na=rtpmap:97 H265/90000\r\na=fmtp:97 sprop-vps=" + base64Of(hevcVPS) +
		"; sprop-sps=" + base64Of(hevcSPS) + "; sprop-pps=" + base64Of(hevcPPS) + "\r\n"
	sdpLATM = "m=audio 0 RTP/AVP 99\r\na=rtpmap:99 MP4A-LATM/24000/2\r\na=fmtp:99 cpresent=0; config=400026203fc0\r\n"
	sdpOpus = "m=audio 0 RTP/AVP 100\r\na=rtpmap:100 opus/48000/2\r\na=fmtp:100 sprop-stereo=1\r\n"
	sdpG711 = "m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
	sdpOdd  = "m=video 0 RTP/AVP 101 96\r\na=rtpmap:101 MP4V-ES/90000\r\na=rtpmap:96 H264/90000\r\n" +
		"m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n"
)

func sdpAAC(config ...byte) string {
	return "m=audio 0 RTP/AVP 98\r\na=rtpmap:98 mpeg4-generic/48000/2\r\n" +
		"a=fmtp:98 mode=AAC-hbr; sizelength=13; indexlength=3; indexdeltalength=3; config=" + hex.EncodeToString(config) + "\r\n"
}

// Of the first byte of a packet's script, whose others are the step of its timestamp and the length of its payload, which follows.
const (
	fuzzMarker  = 0x80
	fuzzGap     = 0x40
	fuzzTrackOf = 0x0f
)

// packets makes a script of payloads that are units of the first track.
func packets(payloads ...[]byte) []byte {
	var out []byte
	for _, p := range payloads {
		out = append(out, fuzzMarker, 36, byte(len(p)))
		out = append(out, p...)
	}
	return out
}

// play feeds the packets of a script, as listen does.
func play(s *session, script []byte) {
	var rtpTime [media.MaxTracks]uint32
	var sequence [media.MaxTracks]uint16
	for len(script) >= 3 {
		flags, step, size := script[0], script[1], min(int(script[2]), len(script)-3)
		payload := slices.Clone(script[3 : 3+size])
		script = script[3+size:]
		i := int(flags&fuzzTrackOf) % len(s.tracks)
		t := s.tracks[i]
		rtpTime[i] += uint32(step) * 100
		sequence[i]++
		if flags&fuzzGap != 0 {
			sequence[i]++
			t.lost()
		}
		pkt := &rtp.Packet{
			Header:  rtp.Header{Version: 2, Marker: flags&fuzzMarker != 0, SequenceNumber: sequence[i], Timestamp: rtpTime[i]},
			Payload: payload,
		}
		t.packet(pkt, int64(rtpTime[i]))
	}
}

// FuzzSession is a camera that describes and sends what it likes. What gets through is what the cloud takes, and what does not is refused
// with a reason that people can read.
func FuzzSession(f *testing.F) {
	video := packets(idr, p, b, p)
	f.Add(mediaSDP(sdpH264), video)
	f.Add(mediaSDP(sdpH264InBand), packets(sps, pps, idr, p, aud, pps1, []byte{0x06, 5, 1, 0xaa, 0x80}))
	f.Add(mediaSDP(sdpH264InBand), packets(append([]byte{0x78, 0, byte(len(sps))}, append(slices.Clone(sps), 0, 4, 0x68, 0xce, 0x3c, 0x80, 0, 3, 0x65, 0x88, 0x84)...)))
	f.Add(mediaSDP(sdpH264), packets([]byte{0x7c, 0x85, 0x88, 0x84}, []byte{0x7c, 0x45, 1, 2, 3})) // fragments
	f.Add(mediaSDP(sdpH265, sdpOpus), packets(hevcIDR, hevcP, hevcVPS, hevcSPS, hevcPPS, hevcIDR))
	f.Add(mediaSDP(sdpAAC(0x11, 0x90)), packets([]byte{0, 16, 0, 16, 1, 2}, []byte{0, 32, 0, 8, 0, 8, 1, 2}))
	f.Add(mediaSDP(sdpAAC(0x17, 0x80, 0, 0, 0x10)), video) // a sample rate of zero, written out
	f.Add(mediaSDP(sdpLATM), packets([]byte{2, 0x21, 0x10}, []byte{0xff, 0xff}))
	f.Add(mediaSDP(sdpG711, sdpH264), video)
	f.Add(mediaSDP(sdpOdd), video)
	f.Fuzz(func(t *testing.T, body, script []byte) {
		desc, err := describe(body)
		if err != nil {
			return
		}
		s, err := newSession(desc, &checker{T: t}, fuzzMaxPayload)
		if err != nil {
			wantReadable(t, err)
			return
		}
		if len(s.tracks) > media.MaxTracks {
			t.Fatalf("%d tracks", len(s.tracks))
		}
		play(s, script)
	})
}

// wantReadable checks that the cloud can be told of an error, and in few words.
func wantReadable(t *testing.T, err error) {
	t.Helper()
	var known *source.Error
	if !errors.As(err, &known) {
		t.Fatalf("%v has no reason", err)
	}
	if len(known.Message) > 2<<10 {
		t.Fatalf("a message of %d bytes", len(known.Message))
	}
}

// FuzzPictures gives whole NAL units to both video codecs: one byte of length is in front of each, and a zero ends a unit.
func FuzzPictures(f *testing.F) {
	script := func(units ...[][]byte) []byte {
		var out []byte
		for _, unit := range units {
			for _, nalu := range unit {
				out = append(append(out, byte(len(nalu))), nalu...)
			}
			out = append(out, 0)
		}
		return out
	}
	f.Add(script([][]byte{aud, sps, pps, idr}, [][]byte{p}, [][]byte{b}, [][]byte{p, tail}), false)
	f.Add(script([][]byte{sps, pps, pps1, idr}, [][]byte{{0x06, 6, 1, 0x84, 0x80}, p}), false)
	f.Add(script([][]byte{hevcVPS, hevcSPS, hevcPPS, hevcIDR}, [][]byte{hevcP}, [][]byte{{0x2a, 1, 0x80}, {0x10, 1, 0x80}}), true)
	f.Fuzz(func(t *testing.T, script []byte, hevc bool) {
		var of format.Format = &format.H264{PacketizationMode: 1}
		if hevc {
			of = &format.H265{}
		}
		sink := &checker{T: t}
		s, err := newSession(&description.Session{Medias: []*description.Media{{Formats: []format.Format{of}}}}, sink, fuzzMaxPayload)
		if err != nil {
			t.Fatal(err)
		}
		v := s.tracks[0].depacketizer.(*video)
		var unit [][]byte
		for pts := int64(0); len(script) > 0; {
			size := min(int(script[0]), len(script)-1)
			nalu := slices.Clone(script[1 : 1+size])
			script = script[1+size:]
			if size > 0 {
				unit = append(unit, nalu)
				continue
			}
			pts += 3600
			v.unit(unit, pts)
			unit = nil
		}
	})
}
