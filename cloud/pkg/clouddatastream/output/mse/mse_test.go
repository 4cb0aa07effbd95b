// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package mse

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	mcfmp4 "github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4/cliptest"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testStream is a stream whose status the test sets.
type testStream struct {
	mu      sync.Mutex
	status  output.Status
	changed chan struct{}
}

func (s *testStream) Key() tunnel.StreamKey { return tunnel.StreamKey{Node: "edge-1"} }

func (s *testStream) Status() (output.Status, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, s.changed
}

func (s *testStream) set(status output.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.status, s.changed = status, make(chan struct{})
}

type fixture struct {
	*Output
	stream *testStream
	url    string
	clip   *cliptest.Clip
	reg    *prometheus.Registry
	left   chan struct{} // gets one for each viewer that is gone
}

func setup(t *testing.T, cfg output.Config) *fixture {
	t.Helper()
	stream := &testStream{status: output.Status{State: "connecting"}, changed: make(chan struct{})}
	reg := prometheus.NewRegistry()
	cfg.Metrics = output.NewMetrics(reg)
	o := New(stream, cfg).(*Output)
	left := make(chan struct{}, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.ServeHTTP(w, r)
		left <- struct{}{}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(o.Close)
	return &fixture{o, stream, "ws" + strings.TrimPrefix(server.URL, "http"), cliptest.Load(t, cliptest.H264), reg, left}
}

// counter reads a counter of this output.
func (f *fixture) counter(t *testing.T, name string) float64 {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

var roomy = output.Config{MaxBytes: 64 << 20, MaxLag: time.Minute, WriteTimeout: 10 * time.Second}

func (f *fixture) open(t *testing.T, tracks []media.Track) {
	t.Helper()
	if err := f.Open(tracks); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) write(t *testing.T, units ...*media.AccessUnit) {
	t.Helper()
	for _, u := range units {
		if err := f.Write(u); err != nil {
			t.Fatal(err)
		}
	}
}

// gop returns the units from the n-th random access point on, up to the next.
func (f *fixture) gop(n int) []*media.AccessUnit {
	var at []int
	for i, u := range f.clip.Units {
		if u.Track == f.lead.ID && u.RandomAccess {
			at = append(at, i)
		}
	}
	return f.clip.Units[at[n]:at[n+1]]
}

type client struct {
	t *testing.T
	*websocket.Conn
}

func dial(t *testing.T, f *fixture) *client {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(f.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &client{t, conn}
}

type message struct {
	Type     string
	Value    string
	Reason   string
	Skipped  []tunnel.SkippedTrack
	Status   output.Status
	PTS      float64
	Captured int64
	Now      int64
	Delay    int64
	Arrived  int64
	Clock    int64
	binary   []byte
}

func (c *client) next() message {
	c.t.Helper()
	kind, data, err := c.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	if kind == websocket.BinaryMessage {
		return message{Type: "binary", binary: data}
	}
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		c.t.Fatalf("%s: %v", data, err)
	}
	return m
}

// expect returns the next message of that type. Only sync messages and status messages may come before it.
func (c *client) expect(kind string) message {
	c.t.Helper()
	for {
		m := c.next()
		if m.Type == kind {
			return m
		}
		if m.Type != "sync" && m.Type != "status" {
			c.t.Fatalf("got %q, want %q", m.Type, kind)
		}
	}
}

func (c *client) init() {
	c.t.Helper()
	var init mcfmp4.Init
	if err := init.Unmarshal(bytes.NewReader(c.expect("binary").binary)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) sample() []byte {
	c.t.Helper()
	var parts mcfmp4.Parts
	if err := parts.Unmarshal(c.expect("binary").binary); err != nil {
		c.t.Fatal(err)
	}
	return parts[0].Tracks[0].Samples[0].Payload
}

func TestProtocol(t *testing.T) {
	f := setup(t, roomy)
	c := dial(t, f)
	if err := c.WriteJSON(map[string]string{"type": "mse"}); err != nil {
		t.Fatal(err)
	}
	if m := c.expect("status"); m.Status.State != "connecting" {
		t.Errorf("status %+v", m.Status)
	}
	f.stream.set(output.Status{State: "streaming", Viewers: 1})
	if m := c.expect("status"); m.Status.State != "streaming" || m.Status.Viewers != 1 {
		t.Errorf("status %+v", m.Status)
	}

	g711 := media.Track{ID: 9, Kind: media.Audio, Codec: media.PCMA, ClockRate: 8000, Channels: 1}
	f.open(t, append([]media.Track{g711}, f.clip.Tracks...))
	units := f.gop(0)
	f.write(t, units...)
	m := c.expect("mse")
	if m.Value != f.muxer.MIME() || len(m.Skipped) != 1 || m.Skipped[0].Codec != "pcma" {
		t.Errorf("announced %+v", m)
	}
	c.init()
	for _, u := range units {
		if !bytes.Equal(c.sample(), u.Payload) {
			t.Fatalf("unit %d differs", u.Sequence)
		}
	}
	newest := f.newest.Load()
	if m := c.expect("sync"); m.PTS != newest.pts.Seconds() || m.Captured != newest.capture.UnixMilli() || m.Now == 0 {
		t.Errorf("%+v, want %+v", m, newest)
	} else if m.Clock < m.Arrived || m.Arrived < 0 || m.Delay != 0 { // captured in another year
		t.Errorf("%+v: clocks", m)
	}

	// Other tracks: a new initialization segment, to those who are there as well.
	f.open(t, f.clip.Tracks[:1])
	f.write(t, f.gop(1)[0])
	if m := c.expect("mse"); !strings.HasPrefix(m.Value, "video/mp4") || strings.Contains(m.Value, "mp4a") {
		t.Errorf("announced %+v", m)
	}
	c.init()
	c.sample()

	f.stream.set(output.Status{State: "failed", Reason: "RuleDeleted"})
	f.Close()
	if m := c.expect("end"); m.Reason != "RuleDeleted" {
		t.Errorf("reason %q", m.Reason)
	}
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("error is %v", err)
	}
}

// A break is told in front of the lead's unit behind it, whatever track has it first, and once.
func TestBreak(t *testing.T) {
	f := setup(t, roomy)
	f.open(t, f.clip.Tracks)
	c := dial(t, f)
	first, second := f.gop(0), f.gop(1)
	f.write(t, first[0])
	c.expect("mse")
	c.init()
	c.sample()
	sound := *media.Find(f.clip.Tracks, f.clip.Tracks[1].ID)
	f.write(t, &media.AccessUnit{Track: sound.ID, Discontinuity: true, RandomAccess: true, Payload: []byte{1}}, second[0], second[1])
	c.sample()
	if m := c.expect("break"); m.PTS != f.lead.Duration(second[0].PTS).Seconds() {
		t.Errorf("goes on at %v s", m.PTS)
	}
	c.sample()
	c.sample()
}

func TestDelay(t *testing.T) {
	now := time.Now()
	for capture, want := range map[time.Time]time.Duration{
		now.Add(-300 * time.Millisecond): 300 * time.Millisecond,
		now.Add(time.Second):             0, // the edge's clock is ahead
		now.Add(-time.Hour):              0, // or an hour behind
		{}:                               0,
	} {
		if got := (&moment{capture: capture, arrival: now}).delay(); got != want {
			t.Errorf("captured %v ago: %v, want %v", now.Sub(capture), got, want)
		}
	}
}

func TestLateViewerBeginsAtRandomAccess(t *testing.T) {
	f := setup(t, roomy)
	f.open(t, f.clip.Tracks)
	f.write(t, f.gop(0)...)
	f.write(t, f.gop(1)...)
	c := dial(t, f)
	c.expect("mse")
	c.init()
	for _, u := range f.gop(1) {
		if !bytes.Equal(c.sample(), u.Payload) {
			t.Fatalf("unit %d differs", u.Sequence)
		}
	}
}

// TestSlowViewer has a viewer that never reads beside one that does.
func TestSlowViewer(t *testing.T) {
	f := setup(t, output.Config{MaxBytes: 64 << 20, MaxLag: time.Minute, WriteTimeout: 3 * time.Second})
	f.open(t, f.clip.Tracks)
	dial(t, f)
	c := dial(t, f)
	c.expect("status")
	unit := *f.gop(0)[0]
	f.write(t, &unit)
	c.expect("mse")
	c.init()
	c.sample() // its place in the stream is fixed
	unit.RandomAccess = false
	unit.Payload = media.JoinNALUs([][]byte{append([]byte{0x41}, make([]byte, 1<<20)...)})
	for range 40 { // more than socket buffers hold
		f.write(t, &unit)
		if !bytes.Equal(c.sample(), unit.Payload) {
			t.Fatal("unit differs")
		}
	}
	<-f.left
	if n := f.counter(t, "datastream_output_viewers_stuck_total"); n != 1 {
		t.Errorf("%v viewers were stuck", n)
	}
}

func TestCarriesNothing(t *testing.T) {
	f := setup(t, roomy)
	g711 := media.Track{ID: 9, Kind: media.Audio, Codec: media.PCMA, ClockRate: 8000, Channels: 1}
	if err := f.Open([]media.Track{g711}); err == nil {
		t.Error("no error")
	}
	f.write(t, &media.AccessUnit{Track: 9, Payload: []byte{1}})
}

func TestRefused(t *testing.T) {
	f := setup(t, roomy)
	_, resp, err := websocket.DefaultDialer.Dial(f.url, http.Header{"Origin": {"https://example.org"}})
	if err == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("foreign origin: error %v", err)
	}
	c := dial(t, f)
	c.expect("status")
	if err := c.WriteMessage(websocket.BinaryMessage, make([]byte, readLimit+1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
		t.Errorf("too big a message: error %v", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	o := New(nil, output.Config{MaxBytes: 8 << 20, MaxLag: time.Second, Metrics: output.NewMetrics(prometheus.NewRegistry())}).(*Output)
	clip := cliptest.Load(b, cliptest.H264)
	if err := o.Open(clip.Tracks); err != nil {
		b.Fatal(err)
	}
	u := &media.AccessUnit{Track: o.lead.ID, RandomAccess: true, Payload: make([]byte, 16<<10)}
	b.ReportAllocs()
	b.SetBytes(int64(len(u.Payload)))
	for b.Loop() {
		u.PTS += 3600
		if err := o.Write(u); err != nil {
			b.Fatal(err)
		}
	}
}
