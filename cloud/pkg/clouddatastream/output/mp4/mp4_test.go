// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package mp4

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	mcfmp4 "github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4/cliptest"
	"github.com/kubeedge/datastream/pkg/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newOutput(t *testing.T) (*Output, *httptest.Server) {
	t.Helper()
	o := New(nil, output.Config{
		MaxBytes:     64 << 20,
		MaxLag:       time.Minute,
		WriteTimeout: 10 * time.Second,
		Metrics:      output.NewMetrics(prometheus.NewRegistry()),
	}).(*Output)
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	t.Cleanup(o.Close)
	return o, server
}

// body reads one viewer's body: the initialization segment first, then fragments.
type body struct {
	t *testing.T
	*http.Response
}

func view(t *testing.T, url string) *body {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return &body{t, resp}
}

// box reads one top-level box.
func (b *body) box(want string) []byte {
	b.t.Helper()
	box := make([]byte, 8)
	if _, err := io.ReadFull(b.Body, box); err != nil {
		b.t.Fatalf("reading %s: %v", want, err)
	}
	size := int(box[0])<<24 | int(box[1])<<16 | int(box[2])<<8 | int(box[3])
	box = append(box, make([]byte, size-8)...)
	if _, err := io.ReadFull(b.Body, box[8:]); err != nil {
		b.t.Fatalf("reading %s: %v", want, err)
	}
	if got := string(box[4:8]); got != want {
		b.t.Fatalf("got %s, want %s", got, want)
	}
	return box
}

func (b *body) init() *mcfmp4.Init {
	b.t.Helper()
	var init mcfmp4.Init
	if err := init.Unmarshal(bytes.NewReader(append(b.box("ftyp"), b.box("moov")...))); err != nil {
		b.t.Fatal(err)
	}
	return &init
}

func (b *body) sample() []byte {
	b.t.Helper()
	var parts mcfmp4.Parts
	if err := parts.Unmarshal(append(b.box("moof"), b.box("mdat")...)); err != nil {
		b.t.Fatal(err)
	}
	return parts[0].Tracks[0].Samples[0].Payload
}

func (b *body) end() {
	b.t.Helper()
	if rest, err := io.ReadAll(b.Body); err != nil || len(rest) > 0 {
		b.t.Fatalf("%d bytes instead of the end, error %v", len(rest), err)
	}
}

func write(t *testing.T, o *Output, units ...*media.AccessUnit) {
	t.Helper()
	for _, u := range units {
		if err := o.Write(u); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, o *Output, tracks []media.Track) {
	t.Helper()
	if err := o.Open(tracks); err != nil {
		t.Fatal(err)
	}
}

// keys returns the indices of the random access units.
func keys(c *cliptest.Clip, track uint8) (at []int) {
	for i, u := range c.Units {
		if u.Track == track && u.RandomAccess {
			at = append(at, i)
		}
	}
	return at
}

func TestJoin(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	o, server := newOutput(t)
	early := view(t, server.URL)
	open(t, o, clip.Tracks)
	at := keys(clip, o.current.muxer.Lead())
	for i, end := range at[1:] {
		write(t, o, clip.Units[at[i]:end]...)
		late := view(t, server.URL)
		if ct := late.Header.Get("Content-Type"); ct != fmp4.VideoType {
			t.Errorf("content type %q", ct)
		}
		if tracks := late.init().Tracks; len(tracks) != len(clip.Tracks) {
			t.Errorf("%d tracks", len(tracks))
		}
		for _, u := range clip.Units[at[i]:end] {
			if !bytes.Equal(late.sample(), u.Payload) {
				t.Fatalf("joining at %d: unit %d differs", at[i], u.Sequence)
			}
		}
		late.Body.Close()
	}
	o.Close()
	early.init()
	for _, u := range clip.Units[at[0]:at[len(at)-1]] {
		if !bytes.Equal(early.sample(), u.Payload) {
			t.Fatalf("unit %d differs", u.Sequence)
		}
	}
	early.end()
}

func TestParameterChange(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	o, server := newOutput(t)
	open(t, o, clip.Tracks)
	at := keys(clip, o.current.muxer.Lead())
	key, next := clip.Units[at[0]], clip.Units[at[1]]
	viewer := view(t, server.URL)
	write(t, o, key)
	viewer.init()
	viewer.sample()

	changed := append([]media.Track{}, clip.Tracks...)
	changed[0].PPS = append(append([]byte{}, changed[0].PPS...), 0x80)
	open(t, o, changed)
	write(t, o, next)
	inBand := append(media.JoinNALUs([][]byte{changed[0].SPS, changed[0].PPS}), next.Payload...)
	if !bytes.Equal(viewer.sample(), inBand) {
		t.Error("the parameter sets are not in front of the next unit")
	}
	newcomer := view(t, server.URL)
	newcomer.init()
	if !bytes.Equal(newcomer.sample(), inBand) {
		t.Error("a new viewer got something else")
	}
}

func TestTrackChange(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	o, server := newOutput(t)
	open(t, o, clip.Tracks)
	key := clip.Units[keys(clip, o.current.muxer.Lead())[0]]
	viewer := view(t, server.URL)
	write(t, o, key)
	viewer.init()
	viewer.sample()

	open(t, o, clip.Tracks[1:]) // only audio remains
	viewer.end()
	again := view(t, server.URL)
	if ct := again.Header.Get("Content-Type"); ct != fmp4.AudioType {
		t.Errorf("content type %q", ct)
	}
	write(t, o, clip.Units[keys(clip, o.current.muxer.Lead())[0]])
	again.init()
	again.sample()

	g711 := media.Track{ID: 7, Kind: media.Audio, Codec: media.PCMU, ClockRate: 8000, Channels: 1}
	if err := o.Open([]media.Track{g711}); !errors.Is(err, fmp4.ErrNoTrack) {
		t.Errorf("error is %v", err)
	}
	again.end()
	write(t, o, key) // to nobody
}

// Sound that goes and comes ends nobody's body: who was there before has what his initialization segment says, new ones have all.
func TestAudioComesAndGoes(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	o, server := newOutput(t)
	open(t, o, clip.Tracks[:1])
	key := clip.Units[keys(clip, clip.Tracks[0].ID)[0]]
	sound := clip.Units[keys(clip, clip.Tracks[1].ID)[0]]
	silent := view(t, server.URL)
	write(t, o, key)
	silent.init()
	silent.sample()

	open(t, o, clip.Tracks)
	write(t, o, key, sound)
	full := view(t, server.URL)
	if tracks := full.init().Tracks; len(tracks) != 2 {
		t.Errorf("%d tracks, want 2", len(tracks))
	}
	for _, u := range []*media.AccessUnit{key, sound} {
		if !bytes.Equal(full.sample(), u.Payload) {
			t.Error("a unit differs")
		}
	}

	open(t, o, clip.Tracks[:1])
	if len(o.runs) != 2 {
		t.Errorf("%d runs, want those of two viewers", len(o.runs))
	}
	write(t, o, key)
	open(t, o, clip.Tracks)
	write(t, o, key, sound)
	for range 3 {
		if !bytes.Equal(silent.sample(), key.Payload) {
			t.Error("a unit differs")
		}
	}
	for _, u := range []*media.AccessUnit{key, key, sound} {
		if !bytes.Equal(full.sample(), u.Payload) {
			t.Error("a unit differs")
		}
	}
	o.Close()
	silent.end()
	full.end()
}
