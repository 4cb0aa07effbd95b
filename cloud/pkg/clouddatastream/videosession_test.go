// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is an output that keeps what it was given. It carries no audio-only streams.
type recorder struct {
	opened int
	units  []*media.AccessUnit
	closed bool
}

func (r *recorder) Open(tracks []media.Track) error {
	if tracks[0].Kind != media.Video {
		return errors.New("no video")
	}
	r.opened++
	return nil
}
func (r *recorder) Write(u *media.AccessUnit) error              { r.units = append(r.units, u); return nil }
func (r *recorder) Close()                                       { r.closed = true }
func (r *recorder) ServeHTTP(http.ResponseWriter, *http.Request) {}

func (r *recorder) sequences() []uint64 {
	var s []uint64
	for _, u := range r.units {
		s = append(s, u.Sequence)
	}
	return s
}

// rig is a VideoSession whose tunnel is the test.
type rig struct {
	*testing.T
	*VideoSession
	tunnel *Session
	made   []*recorder
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t}
	key := tunnel.StreamKey{Node: "edge-1", Namespace: "default", Rule: "r", Path: "/p"}
	registry := output.Registry{"rec": func(output.Stream, output.Config) output.Output {
		o := &recorder{}
		r.made = append(r.made, o)
		return o
	}}
	r.VideoSession = newVideoSession(key, assignment.Entry{RuleUID: "uid"}, videoSessionConfig{
		stopGrace: 10 * time.Second, holdTime: time.Minute, maxViewers: 3, gopBytes: 1 << 20, gopMax: time.Minute,
	}, registry, newMetrics(prometheus.NewRegistry()))
	return r
}

func (r *rig) connect(epoch uint64) error {
	s := &Session{key: r.key, hello: tunnel.Hello{Node: "edge-1", RuleUID: "uid", Epoch: epoch}, wake: make(chan struct{}, 1)}
	if err := r.VideoSession.connect(s); err != nil {
		return err
	}
	r.tunnel = s
	return nil
}

func (r *rig) mustConnect(epoch uint64) {
	r.Helper()
	if err := r.connect(epoch); err != nil {
		r.Fatal(err)
	}
	r.setTracks(r.tunnel, &tunnel.Tracks{Tracks: []media.Track{testTrack()}})
}

func testTrack() media.Track {
	return media.Track{ID: 1, Kind: media.Video, Codec: media.H264, ClockRate: 90000}
}

// send feeds units: a key frame where the sequence is in keys.
func (r *rig) send(from, to uint64, keys ...uint64) {
	r.Helper()
	for seq := from; seq <= to; seq++ {
		u := &media.AccessUnit{
			Track: 1, Sequence: seq, PTS: int64(seq) * 3600, Capture: time.Now(), RandomAccess: slices.Contains(keys, seq),
			Payload: []byte{0, 0, 0, 1, 0x41},
		}
		if err := r.write(r.tunnel, u, time.Now()); err != nil {
			r.Fatalf("unit %d: %v", seq, err)
		}
	}
}

func (r *rig) attach() (*attached, func()) {
	r.Helper()
	a, detach, err := r.Attach("rec")
	if err != nil {
		r.Fatal(err)
	}
	return a, detach
}

func (r *rig) wantAction(want tunnel.Action) {
	r.Helper()
	if r.action != want {
		r.Errorf("the edge is told to %s, want %s", r.action, want)
	}
	if r.tunnel != nil && r.tunnel.desired != r.desired() {
		r.Errorf("the session holds %+v, want %+v", r.tunnel.desired, r.desired())
	}
}

func want[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestOnDemand(t *testing.T) {
	r := newRig(t)
	r.mustConnect(1)
	r.wantAction(tunnel.Stop)
	_, detachOne := r.attach()
	_, detachTwo := r.attach()
	r.wantAction(tunnel.Start)
	generation := r.generation
	detachOne()
	detachOne() // counts once
	now := time.Now()
	r.Tick(now.Add(time.Hour))
	r.wantAction(tunnel.Start)
	detachTwo()
	r.Tick(time.Now().Add(9 * time.Second))
	r.wantAction(tunnel.Start)
	r.Tick(time.Now().Add(11 * time.Second))
	r.wantAction(tunnel.Stop)
	_, detach := r.attach()
	r.wantAction(tunnel.Start)
	if r.generation != generation+2 {
		t.Errorf("generation %d, want %d", r.generation, generation+2)
	}
	detach()
	_, detach = r.attach() // within the grace period
	defer detach()
	r.Tick(time.Now().Add(time.Hour))
	r.wantAction(tunnel.Start)
}

// A start holds, though a viewer has left just before.
func TestStartAfterAViewerLeft(t *testing.T) {
	for _, actions := range [][]string{{"start"}, {"stop", "start"}} {
		r := newRig(t)
		r.mustConnect(1)
		_, detach := r.attach()
		detach()
		for _, action := range actions {
			if err := r.Control(action); err != nil {
				t.Fatal(err)
			}
		}
		r.Tick(time.Now().Add(time.Hour))
		r.wantAction(tunnel.Start)
	}
}

func TestControlModes(t *testing.T) {
	for _, c := range []struct {
		name    string
		viewers bool
		actions []string
		want    tunnel.Action
	}{
		{"start without viewers", false, []string{"start"}, tunnel.Start},
		{"pause", true, []string{"pause"}, tunnel.Pause},
		{"pause without viewers pulls nothing", false, []string{"pause"}, tunnel.Stop},
		{"resume", true, []string{"pause", "resume"}, tunnel.Start},
		{"resume what runs", true, []string{"resume"}, tunnel.Start},
		{"start ends a pause", true, []string{"pause", "start"}, tunnel.Start},
		{"stop", true, []string{"stop"}, tunnel.Stop},
		{"pause after stop", true, []string{"stop", "pause"}, tunnel.Stop},
		{"start ends a stop", true, []string{"stop", "start"}, tunnel.Start},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.mustConnect(1)
			if c.viewers {
				_, detach := r.attach()
				defer detach()
			}
			for _, action := range c.actions {
				if err := r.Control(action); err != nil && !errors.Is(err, errStopped) {
					t.Fatal(err)
				}
			}
			r.wantAction(c.want)
		})
	}
	r := newRig(t)
	if err := r.Control("stop"); err != nil {
		t.Fatal(err)
	}
	_, detach := r.attach()
	defer detach()
	r.wantAction(tunnel.Stop) // whoever may only watch cannot undo it
	if err := r.Control("resume"); !errors.Is(err, errStopped) {
		t.Errorf("resume of a stopped stream: %v", err)
	}
	if err := r.Control("eject"); !errors.Is(err, errNoSuchAction) {
		t.Errorf("unknown action: %v", err)
	}
}

func TestLateViewerGetsTheGOP(t *testing.T) {
	r := newRig(t)
	r.mustConnect(1)
	_, detach := r.attach()
	defer detach()
	r.send(1, 8, 3, 6) // what comes before the first key frame is of no use
	want(t, "the first output", r.made[0].sequences(), []uint64{3, 4, 5, 6, 7, 8})
	r.outputs["other"] = r.outputs["rec"]
	delete(r.outputs, "rec") // so that the next viewer opens an output of its own
	_, detach = r.attach()
	defer detach()
	want(t, "the late output", r.made[1].sequences(), []uint64{6, 7, 8})
}

func TestReconnection(t *testing.T) {
	r := newRig(t)
	r.mustConnect(1)
	_, detach := r.attach()
	defer detach()
	r.send(1, 5, 1)
	r.disconnect(r.tunnel)
	if s, _ := r.Status(); s.State != stateAway {
		t.Errorf("state %s without a tunnel", s.State)
	}
	r.mustConnect(2)
	r.send(1, 7, 1) // the cached GOP again, and what came since
	want(t, "after a warm reconnection", r.made[0].sequences(), []uint64{1, 2, 3, 4, 5, 6, 7})
	r.disconnect(r.tunnel)
	r.mustConnect(3)
	r.send(9, 12, 11) // 8 was lost: what refers to it must not be shown
	want(t, "after a gap", r.made[0].sequences(), []uint64{1, 2, 3, 4, 5, 6, 7, 11, 12})
	if r.made[0].opened != 1 {
		t.Errorf("the output was opened %d times", r.made[0].opened)
	}
}

func TestFencing(t *testing.T) {
	r := newRig(t)
	r.mustConnect(5)
	if err := r.connect(5); !errors.Is(err, errFenced) {
		t.Errorf("a session of the same epoch: %v", err)
	}
	if err := r.connect(4); !errors.Is(err, errFenced) {
		t.Errorf("a session of an older epoch: %v", err)
	}
	stranger := &Session{hello: tunnel.Hello{Epoch: 9}, wake: make(chan struct{}, 1)}
	if err := r.VideoSession.connect(stranger); err == nil {
		t.Error("a session of another rule's UID was accepted")
	}
	if err := r.write(stranger, &media.AccessUnit{}, time.Now()); !errors.Is(err, errFenced) {
		t.Errorf("a unit of a session that does not serve the stream: %v", err)
	}
}

func TestMalformedUnits(t *testing.T) {
	r := newRig(t)
	if err := r.connect(1); err != nil {
		t.Fatal(err)
	}
	good := media.AccessUnit{Track: 1, Sequence: 1, RandomAccess: true, Payload: []byte{0, 0, 0, 1, 0x65}}
	if err := r.write(r.tunnel, &good, time.Now()); !errors.Is(err, tunnel.ErrMalformed) {
		t.Errorf("unit before tracks: %v", err)
	}
	r.setTracks(r.tunnel, &tunnel.Tracks{Tracks: []media.Track{testTrack()}})
	for name, change := range map[string]func(*media.AccessUnit){
		"unknown track":      func(u *media.AccessUnit) { u.Track = 7 },
		"NAL length":         func(u *media.AccessUnit) { u.Payload = []byte{0, 0, 0, 9, 1} },
		"truncated length":   func(u *media.AccessUnit) { u.Payload = []byte{0, 0} },
		"empty NAL unit":     func(u *media.AccessUnit) { u.Payload = []byte{0, 0, 0, 0} },
		"timestamp too high": func(u *media.AccessUnit) { u.PTS = 1 << 55 },
	} {
		u := good
		change(&u)
		_, detach := r.attach()
		if err := r.write(r.tunnel, &u, time.Now()); !errors.Is(err, tunnel.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		detach()
	}
}

func TestViewerLimit(t *testing.T) {
	r := newRig(t)
	for range 3 {
		_, detach := r.attach()
		defer detach()
	}
	if _, _, err := r.Attach("rec"); !errors.Is(err, errTooMany) {
		t.Errorf("one viewer too many: %v", err)
	}
	if _, _, err := r.Attach("avi"); err == nil {
		t.Error("an unknown format was accepted")
	}
}

// An output that cannot carry the stream tells its viewers so, whether they come before or after the tracks.
func TestOutputThatCannotCarry(t *testing.T) {
	audio := &tunnel.Tracks{Tracks: []media.Track{{ID: 1, Kind: media.Audio, Codec: media.PCMA, ClockRate: 8000, Channels: 1}}}
	r := newRig(t)
	if err := r.connect(1); err != nil {
		t.Fatal(err)
	}
	early, detach := r.attach()
	defer detach()
	r.setTracks(r.tunnel, audio)
	if err := r.wait(context.Background(), early, time.Hour); !errors.Is(err, errCannotCarry) {
		t.Errorf("early viewer: %v", err)
	}
	if _, _, err := r.Attach("rec"); !errors.Is(err, errCannotCarry) {
		t.Errorf("late viewer: %v", err)
	}
	if !r.made[0].closed || !r.made[1].closed {
		t.Error("an output that cannot carry the stream was left open")
	}
}

func TestHoldTime(t *testing.T) {
	r := newRig(t)
	r.mustConnect(1)
	_, detach := r.attach()
	defer detach()
	r.send(1, 3, 1)
	r.disconnect(r.tunnel)
	began := time.Now().Add(stallTime)
	r.Tick(began)
	r.Tick(began.Add(59 * time.Second))
	if r.made[0].closed {
		t.Fatal("viewers were let go within the hold time")
	}
	r.Tick(began.Add(61 * time.Second))
	if !r.made[0].closed {
		t.Error("viewers were kept beyond the hold time")
	}
}

func TestPausedViewersAreHeld(t *testing.T) {
	r := newRig(t)
	r.mustConnect(1)
	_, detach := r.attach()
	defer detach()
	r.send(1, 3, 1)
	if err := r.Control("pause"); err != nil {
		t.Fatal(err)
	}
	for hours := range 3 {
		r.Tick(time.Now().Add(time.Duration(hours+1) * time.Hour))
	}
	if r.made[0].closed {
		t.Error("viewers of a paused stream were let go")
	}
}

func TestRemoved(t *testing.T) {
	r := newRig(t)
	_, detach := r.attach()
	defer detach()
	r.remove(tunnel.CloseNormal, "")
	if !r.made[0].closed {
		t.Error("the output of a removed target is open")
	}
	if _, _, err := r.Attach("rec"); !errors.Is(err, errRemoved) {
		t.Errorf("viewer of a removed target: %v", err)
	}
	if err := r.connect(1); !errors.Is(err, errRemoved) {
		t.Errorf("tunnel of a removed target: %v", err)
	}
}

// marks are the sequence numbers of the units that are told not to follow on the one before.
func (r *recorder) marks() []uint64 {
	var s []uint64
	for _, u := range r.units {
		if u.Discontinuity {
			s = append(s, u.Sequence)
		}
	}
	return s
}

// Outputs are told where units do not follow on each other: at random access points only, and not at the very first.
func TestDiscontinuities(t *testing.T) {
	r := newRig(t)
	r.mustConnect(1)
	_, detach := r.attach()
	defer detach()
	first := &media.AccessUnit{Track: 1, Sequence: 9, Discontinuity: true, RandomAccess: true, Payload: []byte{0, 0, 0, 1, 0x65}}
	if err := r.write(r.tunnel, first, time.Now()); err != nil {
		t.Fatal(err)
	}
	r.send(10, 12)
	want(t, "at the beginning", r.made[0].marks(), nil)
	r.send(14, 15, 15) // 13 was disposable
	want(t, "behind a disposable one that was dropped", r.made[0].marks(), nil)
	r.send(18, 20, 18, 20)
	want(t, "behind a tail that was dropped", r.made[0].marks(), []uint64{18})
	r.disconnect(r.tunnel)
	r.mustConnect(2)
	r.send(20, 22)
	want(t, "on another tunnel, but complete", r.made[0].marks(), []uint64{18})
	r.disconnect(r.tunnel)
	r.mustConnect(3)
	r.send(25, 28, 27)
	want(t, "on another tunnel, with a gap", r.made[0].marks(), []uint64{18, 27})
	anew := *first
	anew.Sequence = 29
	if err := r.write(r.tunnel, &anew, time.Now()); err != nil {
		t.Fatal(err)
	}
	want(t, "from another camera session", r.made[0].marks(), []uint64{18, 27, 29})
}

// A tunnel is silent for 60 s: viewers stay for the hold time, the newer epoch brings a random access point first, and time has gone on by as
// much as it did on the wall.
func TestSilentTunnel(t *testing.T) {
	r := newRig(t)
	r.mustConnect(1)
	_, detach := r.attach()
	defer detach()
	r.send(1, 10, 1)
	last := r.made[0].units[9]
	since := r.lastUnit
	const silence = 60 * time.Second
	for at := time.Duration(0); at < silence; at += time.Second {
		r.Tick(since.Add(at))
	}
	if r.made[0].closed {
		t.Fatal("the viewer was let go within the hold time")
	}
	r.disconnect(r.tunnel)
	r.mustConnect(2)
	for seq := uint64(70); seq <= 73; seq++ { // the camera went on: the edge's clock says so
		u := &media.AccessUnit{
			Track: 1, Sequence: seq, PTS: last.PTS + int64(silence/time.Second)*90000 + int64(seq-70)*3600, RandomAccess: seq == 71,
			Payload: []byte{0, 0, 0, 1, 0x41},
		}
		if err := r.write(r.tunnel, u, since.Add(silence+time.Duration(seq-70)*40*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "units", r.made[0].sequences()[10:], []uint64{71, 72, 73})
	next := r.made[0].units[10]
	if gap := next.PTS - last.PTS; !next.RandomAccess || gap < 60*90000 || gap > 61*90000 {
		t.Errorf("the picture goes on %d ticks later, random access %t", gap, next.RandomAccess)
	}
	r.Tick(since.Add(silence + time.Second))
	if r.made[0].closed || r.stallSince != (time.Time{}) {
		t.Error("the stream still counts as stalled")
	}
}

// What is stopped begins anew: an output keeps nothing that whoever comes then could be shown.
func TestStopForgetsThePicture(t *testing.T) {
	r := newRig(t)
	r.mustConnect(1)
	_, detach := r.attach()
	defer detach()
	r.send(1, 5, 1)
	opened := r.made[0].opened
	if err := r.Control("stop"); err != nil {
		t.Fatal(err)
	}
	if now := r.made[0].opened; now != opened+1 {
		t.Errorf("the output was opened %d times, before the stop %d", now, opened)
	}
}

// Who waits while the others are let go is not served by their output.
func TestLetGoWhileWaiting(t *testing.T) {
	r := newRig(t)
	r.mustConnect(1)
	a, detach := r.attach()
	defer detach()
	now := time.Now()
	r.Tick(now)
	r.Tick(now.Add(time.Hour))
	r.send(1, 5, 1)
	if ready, err := r.ready(a, time.Now()); ready || !errors.Is(err, errStalled) {
		t.Errorf("ready %t, %v", ready, err)
	}
}

// A server that could not serve serves the same streams later.
func TestServedAgain(t *testing.T) {
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Stream.Authentication = v1alpha1.AuthenticationNone
	reg := prometheus.NewRegistry()
	s := newStreamServer(cfg, newMetrics(reg), reg)
	directory := assignment.NodeDirectory{Node: "edge-1", Entries: []assignment.Entry{{RuleUID: "uid", Namespace: "default", Rule: "r", Path: "/p"}}}
	s.apply(directory)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ended, l); err != nil {
		t.Fatal(err)
	}
	s.apply(directory)
	v := s.all()[0]
	session := &Session{key: v.key, hello: tunnel.Hello{Node: "edge-1", RuleUID: "uid", Epoch: 1}, wake: make(chan struct{}, 1)}
	if err := v.connect(session); err != nil {
		t.Errorf("a tunnel of the same stream: %v", err)
	}
}
