// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/camera"
)

func TestDialsAtOnce(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	c, cfg := newCloud(t)
	c.refuse.Store(2)
	a, _ := runAgent(t, cfg)
	if rev := receive(t, c.revisions); rev != "" {
		t.Errorf("a node without assignment reports %q", rev)
	}
	as := apply(t, a, target(cam.URL()))

	l := c.accept(t)
	want := tunnel.Hello{Node: testNode, RuleUID: "uid-1", Revision: as.Revision, Epoch: l.hello.Epoch}
	if *l.hello != want || l.hello.Epoch == 0 {
		t.Errorf("hello %+v, want %+v", *l.hello, want)
	}
	if got, want := l.key, (tunnel.StreamKey{Node: testNode, Namespace: "default", Rule: "demo", Path: "/camera-001"}); got != want {
		t.Errorf("dialled %v, want %v", got, want)
	}
	l.state(t, tunnel.Idle)
	if rev := receive(t, c.revisions); rev != as.Revision {
		t.Errorf("reported %q, want %q", rev, as.Revision)
	}
	a.Report()
	if rev := receive(t, c.revisions); rev != as.Revision {
		t.Errorf("reported again %q, want %q", rev, as.Revision)
	}
	if n := cam.TotalSessions(); n != 0 {
		t.Errorf("%d camera sessions before anybody asked for one", n)
	}
}

// A tunnel that waits for its next dial is dialled at once when the cloud is known to be back.
func TestReconnectedEndsTheWait(t *testing.T) {
	c, cfg := newCloud(t)
	cfg.ReconnectMin.Duration, cfg.ReconnectMax.Duration = time.Hour, time.Hour
	c.refuse.Store(1)
	refused := make(chan struct{})
	c.refused = func() { close(refused) }
	a, _ := runAgent(t, cfg)
	apply(t, a, target("rtsp://127.0.0.1/unused"))
	receive(t, refused)
	a.Reconnected()
	c.accept(t)
}

func TestControl(t *testing.T) {
	_, cam, l := startStream(t, camera.Config{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	if len(l.tracks.Tracks) != 2 {
		t.Fatalf("tracks %+v", l.tracks.Tracks)
	}
	first := l.unit(t)
	if !first.RandomAccess || !first.Discontinuity || media.Find(l.tracks.Tracks, first.Track).Codec != media.H264 {
		t.Errorf("the first unit is %+v", first)
	}
	for range 10 {
		before := l.last.Sequence
		if u := l.unit(t); u.Sequence != before+1 || u.Discontinuity {
			t.Errorf("unit %d behind %d, discontinuity %t", u.Sequence, before, u.Discontinuity)
		}
	}

	for range 3 {
		l.desire(t, tunnel.Pause)
		l.state(t, tunnel.Paused)
		before := l.last.Sequence
		l.desire(t, tunnel.Start)
		if _, ok := l.next(t).(*tunnel.State); !ok {
			t.Error("something was sent while paused")
		}
		// Either the same GOP goes on, or a newer one is sent from its beginning.
		if u := l.unit(t); u.Sequence != before+1 && (!u.RandomAccess || u.Track != first.Track) || u.Discontinuity {
			t.Errorf("resumed with %+v behind %d", u, before)
		}
	}
	if open, total := cam.Sessions(), cam.TotalSessions(); open != 1 || total != 1 {
		t.Errorf("%d camera sessions of %d, want 1 of 1", open, total)
	}

	l.desire(t, tunnel.Stop)
	l.state(t, tunnel.Idle)
	if err := cam.WaitSessions(ctx, func(open, _ int) bool { return open == 0 }); err != nil {
		t.Fatal("the camera session was not closed")
	}
	l.desire(t, tunnel.Start)
	l.state(t, tunnel.Streaming)
	if u := l.unit(t); !u.RandomAccess || !u.Discontinuity {
		t.Errorf("started again with %+v", u)
	}
}

func TestCameraComesBack(t *testing.T) {
	_, cam, l := startStream(t, camera.Config{})
	l.unit(t)
	cam.close()
	if s := l.state(t, tunnel.Failed); s.Reason == "" || s.Message == "" {
		t.Errorf("failed without a reason: %+v", s)
	}
	again := startCamera(t, camera.Config{Address: cam.Address()})
	l.state(t, tunnel.Streaming)
	if u := l.unit(t); !u.Discontinuity || !u.RandomAccess {
		t.Errorf("the new session begins with %+v", u)
	}
	if n := again.TotalSessions(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

func TestCameraStalls(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	c, cfg := newCloud(t)
	cfg.Source.StallTimeout.Duration = 2 * time.Second // in which a camera can begin again, too
	a, _ := runAgent(t, cfg)
	apply(t, a, target(cam.URL()))
	l := c.accept(t)
	l.desire(t, tunnel.Start)
	l.state(t, tunnel.Streaming)
	cam.Stall()
	if s := l.state(t, tunnel.Failed); s.Reason != source.Stalled {
		t.Errorf("failed with %+v", s)
	}
	cam.Resume()
	l.state(t, tunnel.Streaming)
}

func TestTunnelCut(t *testing.T) {
	c, cam, l := startStream(t, camera.Config{})
	first := l.unit(t)
	for range 20 {
		l.unit(t)
	}
	l.conn.Close(tunnel.CloseGoingAway, "test")

	n := c.accept(t)
	if n.hello.Epoch <= l.hello.Epoch {
		t.Errorf("epoch %d behind %d", n.hello.Epoch, l.hello.Epoch)
	}
	if s, ok := n.next(t).(*tunnel.State); !ok || s.State != tunnel.Paused {
		t.Errorf("the first message is %+v", s)
	}
	if _, ok := n.next(t).(*tunnel.Tracks); !ok {
		t.Error("the tracks are not behind the state")
	}
	n.generation = l.generation
	n.desire(t, tunnel.Start)
	n.state(t, tunnel.Streaming)
	if u := n.unit(t); !u.RandomAccess || u.Sequence < first.Sequence {
		t.Errorf("the new tunnel begins with %+v", u)
	}
	n.unit(t)
	if total := cam.TotalSessions(); total != 1 {
		t.Errorf("%d camera sessions, want 1", total)
	}
}

func TestHoldTimeEnds(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	c, cfg := newCloud(t)
	cfg.Source.HoldTime.Duration = time.Millisecond
	a, _ := runAgent(t, cfg)
	apply(t, a, target(cam.URL()))
	l := c.accept(t)
	l.desire(t, tunnel.Start)
	l.state(t, tunnel.Streaming)
	l.conn.Close(tunnel.CloseGoingAway, "test")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := cam.WaitSessions(ctx, func(open, _ int) bool { return open == 0 }); err != nil {
		t.Fatal("the camera session outlives its tunnel")
	}
	again := c.accept(t)
	again.generation = l.generation
	again.state(t, tunnel.Idle)
}

func TestAssignmentChanges(t *testing.T) {
	one, two := startCamera(t, camera.Config{}), startCamera(t, camera.Config{})
	c, cfg := newCloud(t)
	a, _ := runAgent(t, cfg)
	first, second := target(one.URL()), target(one.URL())
	second.Path = "/camera-002"
	apply(t, a, first, second)
	l, other := c.accept(t), c.accept(t)
	if l.key.Path == second.Path {
		l, other = other, l
	}
	for _, l := range []*link{l, other} {
		l.desire(t, tunnel.Start)
		l.state(t, tunnel.Streaming)
	}

	first.URL = two.URL() // another camera: same tunnel
	apply(t, a, first, second)
	for !l.unit(t).Discontinuity || two.TotalSessions() == 0 {
	}
	if n := two.TotalSessions(); n != 1 {
		t.Errorf("%d sessions of the new camera", n)
	}

	first.RuleUID = "uid-2" // another rule: same camera session, new tunnel
	apply(t, a, first, second)
	_ = l.end(t)
	l = c.accept(t)
	if l.hello.RuleUID != "uid-2" {
		t.Errorf("hello %+v", l.hello)
	}
	l.desire(t, tunnel.Start)
	l.unit(t)
	if n := two.TotalSessions(); n != 1 {
		t.Errorf("%d sessions of the new camera", n)
	}

	apply(t, a, second)
	if err := l.end(t); !websocket.IsCloseError(err, tunnel.CloseNormal) {
		t.Errorf("the tunnel of a target that is gone ended with %v", err)
	}
	other.unit(t)
	if n := one.TotalSessions(); n != 2 {
		t.Errorf("%d sessions of the first camera, want 2", n)
	}

	bad := assignment.New("edge-2", nil)
	if err := a.Apply(bad); err == nil {
		t.Error("another node's assignment is applied")
	}
	unknown := target("rtsp://127.0.0.1/")
	unknown.Protocol = "carrier-pigeon"
	apply(t, a, second, unknown)
	other.unit(t)
}

func TestRestartsFromStore(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	c, cfg := newCloud(t)
	a, stop := runAgent(t, cfg)
	as := apply(t, a, target(cam.URL()))
	first := c.accept(t)
	stop()
	if info, err := os.Stat(cfg.StoreFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("store: %v, %v", info, err)
	}

	_, stop = runAgent(t, cfg)
	l := c.accept(t)
	if l.hello.Revision != as.Revision || l.hello.Epoch <= first.hello.Epoch {
		t.Errorf("hello %+v behind %+v", l.hello, first.hello)
	}
	l.desire(t, tunnel.Start)
	l.state(t, tunnel.Streaming)
	stop()

	if err := os.WriteFile(cfg.StoreFile, []byte(`{"node":`), 0o600); err != nil {
		t.Fatal(err)
	}
	a, _ = runAgent(t, cfg)
	apply(t, a, target(cam.URL()))
	c.accept(t).state(t, tunnel.Idle)
}

func TestSourceFailures(t *testing.T) {
	cam := startCamera(t, camera.Config{Username: "admin", Password: "geheim"})
	unknown, err := camera.Unknown()
	if err != nil {
		t.Fatal(err)
	}
	odd := startCamera(t, camera.Config{Clip: (&camera.Clip{}).With(unknown)})
	for name, tc := range map[string]struct{ url, reason string }{
		"no password":      {cam.URL(), source.AuthenticationFailed},
		"wrong password":   {strings.Replace(cam.URL(), "//", "//admin:hemlich@", 1), source.AuthenticationFailed},
		"wrong path":       {strings.Replace(cam.URL(), "//", "//admin:geheim@", 1) + "/2", source.NotFound},
		"nobody there":     {"rtsp://127.0.0.1:1/", source.ConnectionRefused},
		"unknown scheme":   {"gopher://127.0.0.1/", source.InvalidEndpoint},
		"nothing to carry": {odd.URL(), source.NoSupportedTracks},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, cfg := newCloud(t)
			a, _ := runAgent(t, cfg)
			apply(t, a, target(tc.url))
			l := c.accept(t)
			l.desire(t, tunnel.Start)
			s := l.state(t, tunnel.Failed)
			if s.Reason != tc.reason || s.Message == "" {
				t.Errorf("%+v, want reason %s", s, tc.reason)
			}
			if strings.Contains(s.Message, "geheim") || strings.Contains(s.Message, "hemlich") {
				t.Errorf("credentials in %q", s.Message)
			}
		})
	}
}

func TestSources(t *testing.T) {
	pcma, err := camera.G711(false)
	if err != nil {
		t.Fatal(err)
	}
	pcmu, err := camera.G711(true)
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := camera.Unknown()
	if err != nil {
		t.Fatal(err)
	}
	video := loadClip(t, camera.Clock).Only((*camera.Track).IsVideo)
	for name, tc := range map[string]struct {
		cam     camera.Config
		codecs  []media.Codec
		skipped int
	}{
		"H.264 and AAC":  {camera.Config{}, []media.Codec{media.H264, media.AAC}, 0},
		"B-frames":       {camera.Config{Clip: loadClip(t, camera.ClockBFrame)}, []media.Codec{media.H264, media.AAC}, 0},
		"H.265 and Opus": {camera.Config{Clip: loadClip(t, camera.ClockH265)}, []media.Codec{media.H265, media.Opus}, 0},
		"G.711":          {camera.Config{Clip: video.With(pcma, pcmu)}, []media.Codec{media.H264, media.PCMA, media.PCMU}, 0},
		"audio alone":    {camera.Config{Clip: (&camera.Clip{}).With(pcmu)}, []media.Codec{media.PCMU}, 0},
		"unknown codec":  {camera.Config{Clip: video.With(unknown)}, []media.Codec{media.H264}, 1},
		"UDP only":       {camera.Config{Transports: []gortsplib.Transport{gortsplib.TransportUDP}}, []media.Codec{media.H264, media.AAC}, 0},
		"password":       {camera.Config{Username: "admin", Password: "geheim"}, []media.Codec{media.H264, media.AAC}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cam := startCamera(t, tc.cam)
			c, cfg := newCloud(t)
			a, _ := runAgent(t, cfg)
			apply(t, a, target(strings.Replace(cam.URL(), "//", "//admin:geheim@", 1)))
			l := c.accept(t)
			l.desire(t, tunnel.Start)
			seen := map[uint8]*media.AccessUnit{}
			for n := 0; n < 150 || len(seen) < len(tc.codecs); n++ {
				u := l.unit(t)
				track := media.Find(l.tracks.Tracks, u.Track)
				if track.Kind == media.Video {
					checkPicture(t, u)
				}
				if prev := seen[u.Track]; prev != nil && (u.DTS() < prev.DTS() || u.DTSOffset < 0) {
					t.Errorf("%s: DTS %d (PTS %d) behind %d", track.Codec, u.DTS(), u.PTS, prev.DTS())
				}
				seen[u.Track] = u
			}
			if len(l.tracks.Tracks) != len(tc.codecs) || len(l.tracks.Skipped) != tc.skipped {
				t.Fatalf("tracks %+v", l.tracks)
			}
			for i, codec := range tc.codecs {
				if got := l.tracks.Tracks[i].Codec; got != codec {
					t.Errorf("track %d is %s, want %s", i, got, codec)
				}
			}
			if err := media.ValidateTracks(l.tracks.Tracks); err != nil {
				t.Error(err)
			}
		})
	}
}

func checkPicture(t *testing.T, u *media.AccessUnit) {
	t.Helper()
	if _, err := media.NALUs(nil, u.Payload); err != nil {
		t.Error(err)
	}
	if u.RandomAccess && u.Disposable {
		t.Error("a random access point is disposable")
	}
	if u.Capture.IsZero() {
		t.Error("no capture time")
	}
}

// Lost packets are followed by a gap up to the next random access point, not by broken pictures.
func TestPacketLoss(t *testing.T) {
	_, cam, l := startStream(t, camera.Config{Speed: 8})
	prev := l.video(t)
	const frame = 90000 / 25
	for gaps := 0; gaps < 3; {
		if u := l.video(t); u.PTS-prev.PTS > frame+frame/2 {
			gaps++
			if !u.RandomAccess {
				t.Fatalf("behind lost packets comes %+v", u)
			}
			prev = u
		} else {
			prev = u
		}
		if prev.RandomAccess {
			cam.Drop(2)
		}
	}
	if n := cam.TotalSessions(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

func TestParameterSetsChange(t *testing.T) {
	_, cam, l := startStream(t, camera.Config{Clip: loadClip(t, camera.Clock), Speed: 8})
	was := l.tracks
	l.unit(t)
	if err := cam.SwitchClip(loadClip(t, camera.ClockBFrame)); err != nil {
		t.Fatal(err)
	}
	for l.tracks == was {
		l.next(t)
	}
	if bytes.Equal(was.Tracks[0].SPS, l.tracks.Tracks[0].SPS) {
		t.Error("the SPS is the old one")
	}
	// Sound has a socket of its own, so some of it may come in between.
	if u := l.video(t); !u.RandomAccess {
		t.Errorf("behind the new tracks comes %+v", u)
	}
}
