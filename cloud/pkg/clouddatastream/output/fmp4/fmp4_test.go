// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fmp4_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	mcfmp4 "github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4/cliptest"
	"github.com/kubeedge/datastream/pkg/media"
)

func newMuxer(t testing.TB, tracks []media.Track) *fmp4.Muxer {
	t.Helper()
	m, err := fmp4.NewMuxer(tracks)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func fragment(t testing.TB, m *fmp4.Muxer, u *media.AccessUnit) []byte {
	t.Helper()
	b, err := m.Fragment(u)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parseInit(t *testing.T, m *fmp4.Muxer) map[int]*mcfmp4.InitTrack {
	t.Helper()
	var init mcfmp4.Init
	if err := init.Unmarshal(bytes.NewReader(m.Init())); err != nil {
		t.Fatal(err)
	}
	tracks := map[int]*mcfmp4.InitTrack{}
	for _, it := range init.Tracks {
		tracks[it.ID] = it
	}
	return tracks
}

func parseSample(t *testing.T, fragment []byte) (*mcfmp4.Part, *mcfmp4.PartTrack, *mcfmp4.Sample) {
	t.Helper()
	var parts mcfmp4.Parts
	if err := parts.Unmarshal(fragment); err != nil {
		t.Fatal(err)
	}
	if len(parts) != 1 || len(parts[0].Tracks) != 1 || len(parts[0].Tracks[0].Samples) != 1 {
		t.Fatalf("not one sample: %+v", parts)
	}
	return parts[0], parts[0].Tracks[0], parts[0].Tracks[0].Samples[0]
}

func TestRoundTrip(t *testing.T) {
	for _, name := range []string{cliptest.H264, cliptest.BFrames, cliptest.H265} {
		t.Run(name, func(t *testing.T) {
			clip := cliptest.Load(t, name)
			m := newMuxer(t, clip.Tracks)
			init := parseInit(t, m)
			if len(init) != len(clip.Tracks) {
				t.Fatalf("%d tracks, want %d", len(init), len(clip.Tracks))
			}
			for i := range clip.Tracks {
				checkTrack(t, init, &clip.Tracks[i])
			}
			for i, u := range clip.Units {
				part, pt, s := parseSample(t, fragment(t, m, u))
				if part.SequenceNumber != uint32(i+1) {
					t.Fatalf("unit %d: sequence number %d", i, part.SequenceNumber)
				}
				if pt.ID != int(u.Track)+1 || pt.BaseTime != uint64(u.DTS()) || s.PTSOffset != u.DTSOffset || s.IsNonSyncSample == u.RandomAccess {
					t.Fatalf("unit %d: %+v %+v, want %+v", i, pt, s, u)
				}
				if !bytes.Equal(s.Payload, u.Payload) {
					t.Fatalf("unit %d: payload differs", i)
				}
				if want := media.Find(clip.Tracks, u.Track).ClockRate / 10; s.Duration == 0 || int(s.Duration) > want {
					t.Fatalf("unit %d: duration %d ticks", i, s.Duration)
				}
			}
		})
	}
}

func checkTrack(t *testing.T, init map[int]*mcfmp4.InitTrack, want *media.Track) {
	t.Helper()
	it := init[int(want.ID)+1]
	if it == nil || int(it.TimeScale) != want.ClockRate {
		t.Fatalf("track %d: %+v", want.ID, it)
	}
	switch c := it.Codec.(type) {
	case *mp4.CodecH264:
		if !bytes.Equal(c.SPS, want.SPS) || !bytes.Equal(c.PPS, want.PPS) {
			t.Error("H.264 parameter sets differ")
		}
	case *mp4.CodecH265:
		if !bytes.Equal(c.VPS, want.VPS) || !bytes.Equal(c.SPS, want.SPS) || !bytes.Equal(c.PPS, want.PPS) {
			t.Error("H.265 parameter sets differ")
		}
	case *mp4.CodecMPEG4Audio:
		if config, _ := c.Config.Marshal(); !bytes.Equal(config, want.Config) {
			t.Error("AudioSpecificConfig differs")
		}
	case *mp4.CodecOpus:
		if c.ChannelCount != want.Channels {
			t.Errorf("%d channels, want %d", c.ChannelCount, want.Channels)
		}
	default:
		t.Errorf("codec %T", c)
	}
}

func TestMIME(t *testing.T) {
	h264 := cliptest.Load(t, cliptest.H264).Tracks
	h265 := cliptest.Load(t, cliptest.H265).Tracks
	for _, c := range []struct {
		tracks []media.Track
		want   string
	}{
		{h264, `video/mp4; codecs="avc1.640032,mp4a.40.2"`},
		{h264[1:], `audio/mp4; codecs="mp4a.40.2"`},
		{h265, `video/mp4; codecs="hvc1.1.6.L63.90,opus"`},
	} {
		if got := newMuxer(t, c.tracks).MIME(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestSubset(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	g711 := media.Track{ID: 7, Kind: media.Audio, Codec: media.PCMA, ClockRate: 8000, Channels: 1}
	m := newMuxer(t, append([]media.Track{g711}, clip.Tracks[0]))
	if len(parseInit(t, m)) != 1 || m.Lead() != clip.Tracks[0].ID {
		t.Errorf("lead is %d", m.Lead())
	}
	if s := m.Skipped(); len(s) != 1 || s[0].Codec != "pcma" || s[0].Reason == "" {
		t.Errorf("skipped %+v", s)
	}
	if b := fragment(t, m, &media.AccessUnit{Track: 7, Payload: []byte{1}}); len(b) != 0 {
		t.Errorf("%d bytes for a track that is left out", len(b))
	}
	if _, err := fmp4.NewMuxer([]media.Track{g711}); !errors.Is(err, fmp4.ErrNoTrack) {
		t.Errorf("error is %v", err)
	}
}

func TestDuration(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	m := newMuxer(t, clip.Tracks)
	video := media.Find(clip.Tracks, m.Lead())
	rate := uint32(video.ClockRate)
	for _, c := range []struct {
		dts  int64
		want uint32
	}{
		{0, rate / 25},                  // a guess
		{3000, 3000},                    // the distance
		{3000, 3000},                    // twice the same time
		{9000, 6000},                    //
		{9000 + 20*int64(rate), 6000},   // a pause
		{12000 + 20*int64(rate), 3000},  //
		{-32000 - 20*int64(rate), 3000}, // a break, a negative time stands for it
	} {
		u := &media.AccessUnit{Track: video.ID, PTS: max(c.dts, -c.dts), Payload: []byte{0, 0, 0, 1, 0x65}, Discontinuity: c.dts < 0}
		if _, _, s := parseSample(t, fragment(t, m, u)); s.Duration != c.want {
			t.Errorf("at %d: %d ticks, want %d", c.dts, s.Duration, c.want)
		}
	}
}

func TestNegativeDecodingTime(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	m := newMuxer(t, clip.Tracks)
	u := &media.AccessUnit{Track: m.Lead(), PTS: 100, DTSOffset: 300, Payload: []byte{0, 0, 0, 1, 0x65}}
	if _, pt, s := parseSample(t, fragment(t, m, u)); pt.BaseTime != 0 || s.PTSOffset != 100 {
		t.Errorf("decoding time %d, offset %d", pt.BaseTime, s.PTSOffset)
	}
}

func TestContinue(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	video, audio := clip.Tracks[0], clip.Tracks[1]
	other := video
	other.PPS = append(append([]byte{}, video.PPS...), 0x80)
	h265 := cliptest.Load(t, cliptest.H265).Tracks[0]
	h265.ID = video.ID
	louder := audio
	louder.Config = []byte{0x11, 0x90}
	first := video
	first.ID = 9
	for _, c := range []struct {
		name   string
		tracks []media.Track
		want   bool
	}{
		{"same", clip.Tracks, true},
		{"parameter sets", []media.Track{other, audio}, true},
		{"codec", []media.Track{h265, audio}, false},
		{"audio gone", []media.Track{video}, true},
		{"audio config", []media.Track{video, louder}, true},
		{"video gone", []media.Track{audio}, false},
		{"another lead", []media.Track{first, video, audio}, false},
		{"nothing", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMuxer(t, clip.Tracks)
			if got := m.Continue(c.tracks); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}

	m := newMuxer(t, clip.Tracks)
	key := &media.AccessUnit{Track: video.ID, RandomAccess: true, Payload: media.JoinNALUs([][]byte{{0x65, 1}})}
	payload := func() []byte {
		_, _, s := parseSample(t, fragment(t, m, key))
		return s.Payload
	}
	m.Continue(clip.Tracks)
	if !bytes.Equal(payload(), key.Payload) {
		t.Error("parameter sets in front though they did not change")
	}
	m.Continue([]media.Track{other, audio})
	if want := media.JoinNALUs([][]byte{other.SPS, other.PPS, {0x65, 1}}); !bytes.Equal(payload(), want) {
		t.Error("new parameter sets are not in front")
	}
	m.Continue(clip.Tracks)
	if want := media.JoinNALUs([][]byte{video.SPS, video.PPS, {0x65, 1}}); !bytes.Equal(payload(), want) {
		t.Error("old parameter sets are not in front again")
	}
}

// TestTracksComeAndGo: a run has the tracks that it began with, for as long as they are what they were.
func TestTracksComeAndGo(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	video, audio := clip.Tracks[0], clip.Tracks[1]
	louder, more := audio, audio
	louder.Config = []byte{0x11, 0x90}
	more.ID = 9
	m := newMuxer(t, clip.Tracks)
	for _, c := range []struct {
		tracks        []media.Track
		same, carried bool
	}{
		{[]media.Track{video}, false, false},
		{[]media.Track{video, audio, more}, false, true},
		{[]media.Track{video, louder}, false, false},
		{clip.Tracks, true, true},
	} {
		if !m.Continue(c.tracks) {
			t.Fatal("does not continue")
		}
		if got := m.Carries(c.tracks); got != c.same {
			t.Errorf("carries the same: %v", got)
		}
		for id, want := range map[uint8]bool{video.ID: true, audio.ID: c.carried, more.ID: false} {
			f, err := m.Fragment(&media.AccessUnit{Track: id, Payload: media.JoinNALUs([][]byte{{1}})})
			if err != nil || (f != nil) != want {
				t.Errorf("track %d: %d bytes, error %v", id, len(f), err)
			}
		}
	}
}

// TestDelimiter has payloads that begin with an access unit delimiter, which parameter sets take the place of.
func TestDelimiter(t *testing.T) {
	for _, c := range []struct {
		clip      string
		delimiter []byte
	}{
		{cliptest.H264, []byte{0x09, 0x10}},
		{cliptest.H265, []byte{0x46, 0x01, 0x10}},
	} {
		before := cliptest.Load(t, c.clip).Tracks[:1]
		video := before[0]
		video.PPS = append(bytes.Clone(video.PPS), 0x80)
		m := newMuxer(t, before)
		if !m.Continue([]media.Track{video}) {
			t.Fatal("does not continue")
		}
		slice := []byte{0x26, 1, 2}
		u := &media.AccessUnit{Track: video.ID, RandomAccess: true, Payload: media.JoinNALUs([][]byte{c.delimiter, slice})}
		_, _, s := parseSample(t, fragment(t, m, u))
		want := [][]byte{video.SPS, video.PPS, slice}
		if video.Codec == media.H265 {
			want = append([][]byte{video.VPS}, want...)
		}
		if !bytes.Equal(s.Payload, media.JoinNALUs(want)) {
			t.Errorf("%s: got %x", video.Codec, s.Payload)
		}
	}
}

// TestHEVC compares the sample entry to the SPS, bit by bit where players look.
func TestHEVC(t *testing.T) {
	tracks := cliptest.Load(t, cliptest.H265).Tracks[:1]
	segment := newMuxer(t, tracks).Init()
	if bytes.Contains(segment, []byte("hev1")) || !bytes.Contains(segment, []byte("hvc1")) {
		t.Error("the sample entry is not hvc1")
	}
	_, record, _ := bytes.Cut(segment, []byte("hvcC"))
	sps := h264.EmulationPreventionRemove(tracks[0].SPS)
	if got, want := record[1:13], sps[3:15]; !bytes.Equal(got, want) {
		t.Errorf("profile, tier and level are %x, want %x", got, want)
	}
}

func BenchmarkFragment(b *testing.B) {
	clip := cliptest.Load(b, cliptest.H264)
	m := newMuxer(b, clip.Tracks)
	u := &media.AccessUnit{Track: m.Lead(), Payload: make([]byte, 16<<10)}
	b.ReportAllocs()
	b.SetBytes(int64(len(u.Payload)))
	for b.Loop() {
		u.PTS += 3600
		fragment(b, m, u)
	}
}
