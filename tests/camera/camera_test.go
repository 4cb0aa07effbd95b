// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package camera

import (
	"bytes"
	"context"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/auth"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait: long enough for a busy machine, so that only a real fault reaches it.
const patience = 30 * time.Second

func start(t *testing.T, cfg Config) *Camera {
	t.Helper()
	cam, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cam.Close)
	return cam
}

// viewer is an RTSP client that reads all tracks of a camera.
type viewer struct {
	*gortsplib.Client
	desc    *description.Session
	packets []chan *rtp.Packet // of each media
	reports chan *rtcp.SenderReport
}

func dial(cam *Camera, transport gortsplib.Transport, user *url.Userinfo) (*viewer, error) {
	u, err := base.ParseURL(cam.URL())
	if err != nil {
		return nil, err
	}
	u.User = user
	v := &viewer{
		Client: &gortsplib.Client{
			Scheme: u.Scheme, Host: u.Host, Transport: &transport, ReadTimeout: patience, WriteTimeout: patience, OnPacketsLost: func(uint64) {},
		},
		reports: make(chan *rtcp.SenderReport, 1),
	}
	if err := v.Start2(); err != nil {
		return nil, err
	}
	if err := v.play(u); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

func (v *viewer) play(u *base.URL) error {
	var err error
	if v.desc, _, err = v.Describe(u); err != nil {
		return err
	}
	if err := v.SetupAll(v.desc.BaseURL, v.desc.Medias); err != nil {
		return err
	}
	for _, media := range v.desc.Medias {
		packets := make(chan *rtp.Packet, 1<<16)
		v.packets = append(v.packets, packets)
		v.OnPacketRTP(media, media.Formats[0], func(pkt *rtp.Packet) {
			select {
			case packets <- pkt:
			default: // the test has seen enough
			}
		})
		v.OnPacketRTCP(media, func(pkt rtcp.Packet) {
			if report, ok := pkt.(*rtcp.SenderReport); ok {
				select {
				case v.reports <- report:
				default:
				}
			}
		})
	}
	_, err = v.Play(nil)
	return err
}

func view(t *testing.T, cam *Camera, transport gortsplib.Transport) *viewer {
	t.Helper()
	v, err := dial(cam, transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing received")
		panic("unreachable")
	}
}

// unit reads the next whole H.264 access unit, and its RTP timestamp.
func (v *viewer) unit(t *testing.T) ([][]byte, uint32) {
	t.Helper()
	decoder, err := v.desc.Medias[0].Formats[0].(*format.H264).CreateDecoder()
	if err != nil {
		t.Fatal(err)
	}
	for {
		pkt := receive(t, v.packets[0])
		// An error means that more packets are needed, or that we joined in the middle of a unit.
		if au, err := decoder.Decode(pkt); err == nil {
			return au, pkt.Timestamp
		}
	}
}

// keyFrame reads up to the next random access point.
func (v *viewer) keyFrame(t *testing.T) ([][]byte, uint32) {
	t.Helper()
	for {
		if au, timestamp := v.unit(t); au[0][0]&0x1f == 7 { // begins with an SPS
			return au, timestamp
		}
	}
}

func TestPlay(t *testing.T) {
	for _, transport := range []gortsplib.Transport{gortsplib.TransportTCP, gortsplib.TransportUDP} {
		t.Run(transport.String(), func(t *testing.T) {
			clip := load(t, Clock)
			cam := start(t, Config{Clip: clip, Speed: 5})
			v := view(t, cam, transport)

			au, _ := v.keyFrame(t)
			params := clip.Tracks[0].Format.(*format.H264)
			if len(au) != 3 || !bytes.Equal(au[0], params.SPS) || !bytes.Equal(au[1], params.PPS) || au[2][0]&0x1f != 5 {
				t.Errorf("key frame has %d NAL units, not SPS, PPS and IDR", len(au))
			}
			receive(t, v.packets[1])
			if report := receive(t, v.reports); report.NTPTime == 0 {
				t.Error("sender report without time")
			}
			if open, total := cam.Sessions(), cam.TotalSessions(); open != 1 || total != 1 {
				t.Errorf("%d sessions, %d ever", open, total)
			}

			v.Close()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := cam.WaitSessions(ctx, func(open, total int) bool { return open == 0 && total == 1 }); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLoop reads one and a half turns of a clip with B-frames: every unit arrives, in decoding order, with
// the timestamps of one endless stream.
func TestLoop(t *testing.T) {
	clip := load(t, ClockBFrame)
	v := view(t, start(t, Config{Clip: clip, Speed: 10}), gortsplib.TransportTCP)
	units, period := clip.Tracks[0].Units, uint32(ticks(clip.Tracks[0].Period, 90000))

	au, first := v.keyFrame(t)
	at := slices.IndexFunc(units, func(u *Unit) bool { return slices.EqualFunc(u.Payload, au, bytes.Equal) })
	if at < 0 {
		t.Fatal("key frame not in clip")
	}
	for i := range len(units) * 3 / 2 {
		turn, want := (at+i+1)/len(units), units[(at+i+1)%len(units)]
		au, timestamp := v.unit(t)
		if !slices.EqualFunc(want.Payload, au, bytes.Equal) {
			t.Fatalf("unit %d differs", i)
		}
		if pts := uint32(want.PTS-units[at].PTS) + uint32(turn)*period; timestamp-first != pts {
			t.Fatalf("unit %d: PTS %d, want %d", i, timestamp-first, pts)
		}
	}
}

func TestCodecs(t *testing.T) {
	pcmu, err := G711(true)
	if err != nil {
		t.Fatal(err)
	}
	pcma, err := G711(false)
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := Unknown()
	if err != nil {
		t.Fatal(err)
	}
	video := load(t, Clock).Only((*Track).IsVideo)
	for name, clip := range map[string]*Clip{
		"H265 and Opus":    load(t, ClockH265),
		"PCMU":             video.With(pcmu),
		"PCMA alone":       {Tracks: []*Track{pcma}},
		"one more unknown": load(t, Clock).With(unknown),
	} {
		t.Run(name, func(t *testing.T) {
			v := view(t, start(t, Config{Clip: clip, Speed: 5}), gortsplib.TransportTCP)
			for i, track := range clip.Tracks {
				if got, want := v.desc.Medias[i].Formats[0].RTPMap(), track.Format.RTPMap(); got != want {
					t.Errorf("media %d is %s, want %s", i, got, want)
				}
				receive(t, v.packets[i])
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	for name, method := range map[string]auth.VerifyMethod{
		"Basic": auth.VerifyMethodBasic, "Digest": auth.VerifyMethodDigestMD5, "SHA-256": auth.VerifyMethodDigestSHA256,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // gortsplib waits two seconds before it refuses
			cam := start(t, Config{Username: "admin", Password: "right", AuthMethods: []auth.VerifyMethod{method}})
			for _, user := range []*url.Userinfo{nil, url.UserPassword("admin", "wrong"), url.UserPassword("root", "right")} {
				if v, err := dial(cam, gortsplib.TransportTCP, user); err == nil {
					v.Close()
					t.Errorf("%v was let in", user)
				}
			}
			v, err := dial(cam, gortsplib.TransportTCP, url.UserPassword("admin", "right"))
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			v.keyFrame(t)
			if total := cam.TotalSessions(); total != 1 {
				t.Errorf("%d sessions", total)
			}
		})
	}
}

func TestTransportRefused(t *testing.T) {
	for allowed, asked := range map[gortsplib.Transport]gortsplib.Transport{
		gortsplib.TransportTCP: gortsplib.TransportUDP,
		gortsplib.TransportUDP: gortsplib.TransportTCP,
	} {
		cam := start(t, Config{Transports: []gortsplib.Transport{allowed}})
		if v, err := dial(cam, asked, nil); err == nil {
			v.Close()
			t.Errorf("%v was allowed", asked)
		}
		view(t, cam, allowed).keyFrame(t)
	}
}

func TestUnknownPath(t *testing.T) {
	cam := start(t, Config{Path: "/live/main"})
	view(t, cam, gortsplib.TransportTCP)
	u := &base.URL{Scheme: "rtsp", Host: cam.Address(), Path: "/live"}
	c := &gortsplib.Client{Scheme: u.Scheme, Host: u.Host}
	if err := c.Start2(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.Describe(u); err == nil {
		t.Error("no error")
	}
}

func TestStall(t *testing.T) {
	cam := start(t, Config{Clip: load(t, Clock).Only((*Track).IsVideo)})
	cam.cancel()
	cam.wait.Wait()
	play := func(units int) { // the test takes the place of the player's goroutine
		for range units {
			cam.player.play(cam.player.tracks[0])
		}
	}
	v := view(t, cam, gortsplib.TransportTCP)

	const gop = 50
	cam.player.tracks[0].unit = 0
	play(2)
	_, before := v.keyFrame(t)
	last := receive(t, v.packets[0])
	for !last.Marker {
		last = receive(t, v.packets[0])
	}

	cam.Stall()
	play(10)
	cam.Resume()
	play(gop)

	next := receive(t, v.packets[0])
	if next.SequenceNumber != last.SequenceNumber+1 {
		t.Errorf("sequence number %d after %d", next.SequenceNumber, last.SequenceNumber)
	}
	if next.Timestamp-before != gop*3600 {
		t.Errorf("resumed %d ticks after a key frame, want %d", next.Timestamp-before, gop*3600)
	}
	if open, total := cam.Sessions(), cam.TotalSessions(); open != 1 || total != 1 {
		t.Errorf("%d sessions, %d ever", open, total)
	}
}

func TestDrop(t *testing.T) {
	cam := start(t, Config{Speed: 10, Clip: load(t, Clock).Only((*Track).IsVideo)})
	v := view(t, cam, gortsplib.TransportTCP)
	previous := receive(t, v.packets[0]).SequenceNumber
	cam.Drop(3)
	for {
		sequence := receive(t, v.packets[0]).SequenceNumber
		if missing := sequence - previous - 1; missing == 3 {
			break
		} else if missing != 0 {
			t.Fatalf("%d packets lost", missing)
		}
		previous = sequence
	}
}

func TestSwitchClip(t *testing.T) {
	from, to := load(t, Clock), load(t, ClockBFrame)
	cam := start(t, Config{Clip: from, Speed: 10})
	v := view(t, cam, gortsplib.TransportTCP)
	_, previous := v.keyFrame(t)

	if err := cam.SwitchClip(to); err != nil {
		t.Fatal(err)
	}
	want := to.Tracks[0].Format.(*format.H264).SPS
	for {
		au, timestamp := v.unit(t)
		if step := timestamp - previous; step != 3600 {
			t.Fatalf("timestamps jump by %d", step)
		}
		previous = timestamp
		if au[0][0]&0x1f == 7 && bytes.Equal(au[0], want) {
			break
		}
	}

	other := view(t, cam, gortsplib.TransportTCP)
	if sps := other.desc.Medias[0].Formats[0].(*format.H264).SPS; !bytes.Equal(sps, want) {
		t.Error("new description has the old SPS")
	}
	for _, name := range []string{ClockH265, ClockGOP10s} { // other codecs, another sample rate
		if err := cam.SwitchClip(load(t, name)); err == nil {
			t.Errorf("switched to %s", name)
		}
	}
}

func TestRestart(t *testing.T) {
	cam, err := Start(Config{})
	if err != nil {
		t.Fatal(err)
	}
	v := view(t, cam, gortsplib.TransportTCP)
	v.keyFrame(t)
	cam.Close()
	if err := v.Wait(); err == nil {
		t.Error("viewer noticed nothing")
	}
	if v, err := dial(cam, gortsplib.TransportTCP, nil); err == nil {
		v.Close()
		t.Error("camera still there")
	}

	again := start(t, Config{Address: cam.Address()})
	if again.URL() != cam.URL() {
		t.Errorf("URL %s, was %s", again.URL(), cam.URL())
	}
	view(t, again, gortsplib.TransportTCP).keyFrame(t)
}

func TestStartRejects(t *testing.T) {
	taken := start(t, Config{})
	for name, cfg := range map[string]Config{
		"address taken":  {Address: taken.Address()},
		"no port":        {Address: "127.0.0.1"},
		"empty clip":     {Clip: &Clip{}},
		"negative speed": {Speed: -1},
	} {
		if cam, err := Start(cfg); err == nil {
			cam.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// TestManyCameras starts as many cameras as a large test does.
func TestManyCameras(t *testing.T) {
	clip := load(t, Clock)
	for range 50 {
		cam := start(t, Config{Clip: clip})
		receive(t, view(t, cam, gortsplib.TransportTCP).packets[0])
	}
}

// TestTimestamps lets them wrap and jump: the difference of two that follow on each other says so, and frames go on.
func TestTimestamps(t *testing.T) {
	const frame = 3600
	cam := start(t, Config{Speed: 5, WrapAfter: 5 * time.Second})
	v := view(t, cam, gortsplib.TransportTCP)
	_, last := v.unit(t)
	for wrapped := false; !wrapped; {
		_, timestamp := v.unit(t)
		if timestamp-last != frame {
			t.Fatalf("%d ticks from one to the next", timestamp-last)
		}
		wrapped = timestamp < last
		last = timestamp
	}
	for _, jump := range []time.Duration{time.Hour, -2 * time.Hour} {
		cam.Jump(jump)
		for jumped := false; !jumped; {
			_, timestamp := v.unit(t)
			step := int32(timestamp - last)
			if jumped = step != frame; jumped && step != frame+int32(ticks(jump, 90000)) {
				t.Fatalf("%d ticks from one to the next", step)
			}
			last = timestamp
		}
	}
}
