// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a sink that keeps what it gets.
type recorder struct {
	tracks []media.Track
	times  int
	units  []*media.AccessUnit
	lost   []string
}

func (r *recorder) Tracks(tracks []media.Track, _ []tunnel.SkippedTrack) {
	r.tracks, r.times = tracks, r.times+1
}
func (r *recorder) Unit(u *media.AccessUnit)        { r.units = append(r.units, u) }
func (r *recorder) Lost(_ media.Kind, cause string) { r.lost = append(r.lost, cause) }

// Parameter sets of 1280x720 and 640x480, baseline.
var (
	sps  = []byte{0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20}
	pps  = []byte{0x68, 0xce, 0x3c, 0x80} // id 0
	pps1 = []byte{0x68, 0x5e, 0x3c, 0x80} // id 1
	idr  = []byte{0x65, 0x88, 0x84}
	p    = []byte{0x41, 0x9a, 0x00}
	b    = []byte{0x01, 0x9a, 0x00}
	tail = []byte{0x41, 0x1a, 0x00} // a slice that is not its picture's first
	aud  = []byte{0x09, 0xf0}
)

func h264Session(t *testing.T, f *format.H264, maxPayload int) (*video, *recorder) {
	t.Helper()
	r := &recorder{}
	s, err := newSession(&description.Session{Medias: []*description.Media{{Formats: []format.Format{f}}}}, r, maxPayload)
	if err != nil {
		t.Fatal(err)
	}
	return s.tracks[0].depacketizer.(*video), r
}

func (r *recorder) kinds(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, u := range r.units {
		nalus, err := media.NALUs(nil, u.Payload)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case u.RandomAccess:
			out.WriteString("K")
		case u.Disposable:
			out.WriteString("b")
		default:
			out.WriteString("p")
		}
		if len(nalus) != 1 {
			out.WriteString("+")
		}
	}
	return out.String()
}

func TestAccessUnits(t *testing.T) {
	for name, tc := range map[string]struct {
		inSDP bool
		units [][][]byte
		want  string
		times int
	}{
		"parameters in the SDP":     {true, [][][]byte{{p}, {aud, idr}, {p}, {b}}, "Kpb", 1},
		"parameters in-band":        {false, [][][]byte{{idr}, {p}, {aud, sps, pps, idr}, {p}}, "Kp", 1},
		"parameters alone":          {false, [][][]byte{{sps, pps}, {idr}, {p}}, "Kp", 1},
		"repeated parameters":       {true, [][][]byte{{sps, pps, idr}, {sps, pps, idr}}, "KK", 1},
		"a second PPS stays":        {true, [][][]byte{{sps, pps, pps1, idr}, {p}, {pps, pps1, idr}}, "K+pK+", 1},
		"changed PPS":               {true, [][][]byte{{idr}, {p}, {append(slices.Clone(pps), 0x80), idr}}, "KpK", 2},
		"begins within a picture":   {true, [][][]byte{{tail}, {idr}, {p}}, "Kp", 1},
		"empty and unknown NALs":    {true, [][][]byte{{{}, idr, {0x1e, 1}}, {p}}, "K+p", 1},
		"several slices":            {true, [][][]byte{{idr}, {p, tail}}, "Kp+", 1},
		"an SPS that is none stays": {true, [][][]byte{{idr}, {{0x67, 0xff}, idr}, {p}}, "KKp", 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := &format.H264{PacketizationMode: 1}
			if tc.inSDP {
				f.SPS, f.PPS = sps, pps
			}
			v, r := h264Session(t, f, 1000)
			for i, u := range tc.units {
				v.unit(u, int64(i)*3600)
			}
			if got := r.kinds(t); got != tc.want || r.times != tc.times {
				t.Errorf("units %s, tracks announced %d times; want %s, %d", got, r.times, tc.want, tc.times)
			}
		})
	}
}

func TestOversizedUnit(t *testing.T) {
	v, r := h264Session(t, &format.H264{SPS: sps, PPS: pps}, 8)
	for _, u := range [][][]byte{{idr}, {append(slices.Clone(p), 1, 2, 3)}, {p}, {idr}, {p}} {
		v.unit(u, 0)
	}
	if got := r.kinds(t); got != "KKp" || !slices.Equal(r.lost, []string{source.LostOversized}) {
		t.Errorf("units %s, lost %v", got, r.lost)
	}
}

func TestRecoveryPoints(t *testing.T) {
	sei := []byte{0x06, 5, 2, 0xaa, 0xbb, 6, 1, 0x84, 0x80} // some user data, then a recovery point
	v, r := h264Session(t, &format.H264{SPS: sps, PPS: pps}, 1000)
	for range neverIDR {
		v.unit([][]byte{sei, p}, 0)
	}
	if len(r.units) != 0 {
		t.Fatal("a recovery point is taken for a random access point while there may be IDRs")
	}
	v.unit([][]byte{p}, 0)
	v.unit([][]byte{sei, p}, 0)
	v.unit([][]byte{p}, 0)
	if got := r.kinds(t); got != "K+p" {
		t.Errorf("units %s", got)
	}
	for _, broken := range [][]byte{{}, {0xff, 0xff}, {5, 200, 1, 2}, {5}} {
		if hasRecoveryPoint(broken) {
			t.Errorf("a recovery point in %v", broken)
		}
	}
}

// Cameras without marker bits: each unit has the time of its own packets.
func TestNoMarkers(t *testing.T) {
	v, r := h264Session(t, &format.H264{SPS: sps, PPS: pps, PacketizationMode: 1}, 1000)
	for i, nalu := range [][]byte{idr, p, p, p} {
		v.packet(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(i), Timestamp: uint32(i * 3600)}, Payload: nalu}, int64(i*3600))
	}
	var pts []int64
	for _, u := range r.units {
		pts = append(pts, u.PTS)
	}
	if !slices.Equal(pts, []int64{0, 3600, 7200}) {
		t.Errorf("times %v", pts)
	}
}

func TestAAC(t *testing.T) {
	f := &format.MPEG4Audio{
		Config:     &mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelCount: 2},
		SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3,
	}
	r := &recorder{}
	s, err := newSession(&description.Session{Medias: []*description.Media{{Formats: []format.Format{f}}}}, r, 3)
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.CreateEncoder()
	if err != nil {
		t.Fatal(err)
	}
	packets, err := e.Encode([][]byte{{1, 2}, {3, 4}, {5, 6, 7, 8}})
	if err != nil {
		t.Fatal(err)
	}
	for _, pkt := range packets {
		s.tracks[0].packet(pkt, 1000)
	}
	if len(r.units) != 2 || r.units[0].PTS != 1000 || r.units[1].PTS != 2024 || !slices.Equal(r.lost, []string{source.LostOversized}) {
		t.Errorf("units %+v, lost %v", r.units, r.lost)
	}
}

func TestProperties(t *testing.T) {
	u := &url.URL{Scheme: "rtsp", Host: "127.0.0.1"}
	for _, properties := range []map[string]string{{"transport": "pigeon"}, {"caCertificate": "none"}} {
		var e *source.Error
		if _, err := New(source.Spec{URL: u, Properties: properties}); !errors.As(err, &e) || e.Reason != source.InvalidEndpoint {
			t.Errorf("%v: %v", properties, err)
		}
	}
	if _, err := New(source.Spec{URL: &url.URL{Scheme: "rtsp"}}); err == nil {
		t.Error("a URL without host is taken")
	}
}

// A server that accepts and never says anything holds nobody up who wants to leave, with TLS neither.
func TestSilentServer(t *testing.T) {
	for _, scheme := range Schemes {
		t.Run(scheme, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			s, err := New(source.Spec{URL: &url.URL{Scheme: scheme, Host: ln.Addr().String(), Path: "/"}, StallTimeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx, &recorder{}) }()
			conn, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			cancel()
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("ended with %v", err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("does not end")
			}
		})
	}
}
