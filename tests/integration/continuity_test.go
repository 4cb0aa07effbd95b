// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/harness"
)

// longestGap bounds the gap that any fault below may leave in the timeline: far less than what clocks jump by, and far
// more than a busy machine needs.
const longestGap = 40 * time.Second

// enough is some seconds of each clip, in bytes.
const enough = 100_000

// scene is a camera that misbehaves, and what watches it.
type scene struct {
	*testing.T
	cam          *camera.Camera
	rule, stream string
}

// reboot ends the camera and starts it anew on the same address: another SSRC, other RTP times, perhaps another clip.
func (s *scene) reboot(cfg camera.Config) {
	s.Helper()
	s.cam.Close()
	waitState(s.T, s.stream, "failed")
	cfg.Address = s.cam.Address()
	s.cam = startCamera(s.T, cfg)
}

func load(t *testing.T, name string) *camera.Clip {
	t.Helper()
	clip, err := camera.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return clip
}

// anyBreaks: it depends on when the fault comes whether something is lost.
const anyBreaks = -1

// fault is what happens, and what viewers may notice of it.
type fault struct {
	name    string
	cfg     camera.Config
	happen  func(*scene)
	breaks  int  // that are marked at least; where it is zero, none but for units that are missing
	newBody bool // MP4 has to begin another one
}

// Whatever the camera does, each viewer keeps his connection, every picture can be decoded, and time goes on.
func TestContinuity(t *testing.T) {
	clock, small, h265 := load(t, camera.Clock), load(t, camera.ClockBFrame), load(t, camera.ClockH265)
	silent := clock.Only((*camera.Track).IsVideo)
	for i, f := range []fault{
		{name: "timestamps wrap", cfg: camera.Config{WrapAfter: 3 * time.Second}, happen: func(*scene) {}},
		{name: "clock jumps forward", happen: func(s *scene) { s.cam.Jump(3 * time.Hour) }},
		{name: "clock jumps back", happen: func(s *scene) { s.cam.Jump(-3 * time.Hour) }},
		{name: "clock jumps back under B-frames", cfg: camera.Config{Clip: small}, happen: func(s *scene) { s.cam.Jump(-3 * time.Hour) }},
		{name: "clock jumps by seconds", cfg: camera.Config{Clip: small}, happen: func(s *scene) { s.cam.Jump(7 * time.Second) }},
		{name: "camera reboots", happen: func(s *scene) { s.reboot(camera.Config{}) }, breaks: 1},
		{name: "packets are lost", cfg: camera.Config{Clip: small}, happen: func(s *scene) { s.cam.Drop(5) }},
		{name: "resolution changes", happen: func(s *scene) {
			if err := s.cam.SwitchClip(small); err != nil {
				s.Fatal(err)
			}
		}, breaks: 1},
		{name: "codec changes", happen: func(s *scene) { s.reboot(camera.Config{Clip: h265}) }, breaks: 1, newBody: true},
		{name: "sound goes", happen: func(s *scene) { s.reboot(camera.Config{Clip: silent}) }, breaks: 1},
		{name: "sound comes", cfg: camera.Config{Clip: silent}, happen: func(s *scene) { s.reboot(camera.Config{Clip: small}) }, breaks: 1},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			f.play(t, fmt.Sprintf("continuity-%d", i), []*camera.Clip{clock, small, h265})
		})
	}
}

// The same for the tunnel. B-frames make it worse.
func TestContinuityOverTunnels(t *testing.T) {
	small := load(t, camera.ClockBFrame)
	for _, f := range []fault{
		{name: "cut", cfg: camera.Config{Clip: small}, happen: func(s *scene) {
			cluster.Proxy.SetDown(true)
			waitState(s.T, s.stream, "away")
			cluster.Proxy.SetDown(false)
		}, breaks: anyBreaks},
		{name: "half open", cfg: camera.Config{Clip: small}, happen: func(s *scene) { // until the edge gives it up, and a newer epoch takes over
			before := connects(s.T, s.rule)
			cluster.Proxy.HalfOpen(harness.ClientSide)
			eventually(s.T, "another tunnel", func() bool { return connects(s.T, s.rule) > before })
		}, breaks: 1},
	} {
		t.Run(f.name, func(t *testing.T) {
			f.play(t, "continuity-"+strings.ReplaceAll(f.name, " ", "-"), []*camera.Clip{small})
		})
	}
}

// play watches the stream in all formats before, through and after the fault.
func (f *fault) play(t *testing.T, rule string, clips []*camera.Clip) {
	s := &scene{T: t, cam: startCamera(t, f.cfg), rule: rule}
	s.stream = applyRule(t, rule, s.cam.URL())
	var viewers []*recording
	for _, format := range formats {
		viewers = append(viewers, record(t, s.stream, format))
	}
	goOn := func() {
		t.Helper()
		had := map[*recording]int{}
		for _, v := range viewers {
			had[v] = v.length()
		}
		for _, v := range viewers {
			eventually(t, v.format+" to go on", func() bool { return v.length() > had[v]+enough })
		}
	}
	goOn()
	f.happen(s)
	waitState(t, s.stream, "streaming")
	goOn()
	goOn()
	for _, v := range viewers {
		v.close()
	}
	gaps := ofStream(t, "datastream_stream_gaps_total", rule) // none, unless this machine has no time left for the stream
	for _, v := range viewers {
		connections := 1
		if f.newBody && v.format == "mp4" {
			connections = 2
		}
		switch marked := v.check(t, clips, connections); {
		case v.format == "mp4" || f.breaks == anyBreaks:
		case marked < f.breaks:
			t.Errorf("%s: %d breaks are marked, want %d", v.format, marked, f.breaks)
		case f.breaks == 0 && marked > gaps:
			t.Errorf("%s: %d breaks are marked, and units were missing %d times", v.format, marked, gaps)
		}
	}
}

// check checks what was recorded: the number of connections, and each picture. It returns the number of marked breaks; MP4 has no marks.
func (r *recording) check(t *testing.T, clips []*camera.Clip, connections int) (marked int) {
	t.Helper()
	bodies, marked := r.snapshot()
	if len(bodies) != connections {
		t.Errorf("%s: %d connections, want %d; they ended with %v", r.format, len(bodies), connections, r.ends)
	}
	for i, body := range bodies {
		pictures, marks, err := r.pictures(body)
		if err != nil {
			t.Fatalf("%s: %v", r.format, err)
		}
		marked += marks
		checkDecodable(t, fmt.Sprintf("%s, connection %d", r.format, i+1), pictures, clips, longestGap)
		keep(t, r.format, i, body)
	}
	return marked
}

// keep writes what a viewer got to a folder, if $RECORDINGS is one, for players to try.
func keep(t *testing.T, format string, n int, body []byte) {
	t.Helper()
	dir := os.Getenv("RECORDINGS")
	if dir == "" {
		return
	}
	name := fmt.Sprintf("%s-%s-%d", strings.ReplaceAll(filepath.Base(t.Name()), "'", ""), format, n+1)
	if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
		t.Fatal(err)
	}
}
