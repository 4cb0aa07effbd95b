// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/tests/camera"
)

var formats = []string{"mp4", "ts", "mse"}

// Fifty viewers of mixed outputs, one more who never reads: one RTSP session, one tunnel, and every
// frame reaches everybody in order.
func TestFanOut(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	stream := applyRule(t, "fan-out", cam.URL())
	waitState(t, stream, "idle")

	first := watch(t, stream, "mp4")
	first.more(1)
	lazy(t, cluster.Viewers, strings.TrimPrefix(stream, "http://"+cluster.Viewers))
	var viewers []*viewer
	for i := range 50 {
		viewers = append(viewers, watch(t, stream, formats[i%len(formats)]))
	}
	for i, v := range viewers {
		v.wait("100 frames", func(f []frame) bool { return len(f) >= 100 })
		v.mu.Lock()
		checkOrder(t, fmt.Sprintf("viewer %d (%s)", i, v.name), v.frames)
		v.mu.Unlock()
	}
	if n := cam.TotalSessions(); n != 1 {
		t.Errorf("the camera has seen %d RTSP sessions, want 1", n)
	}
	if n := connects(t, "fan-out"); n != 1 {
		t.Errorf("the stream has had %d tunnels, want 1", n)
	}
}

// A viewer who comes later gets the picture from the GOP cache, without waiting for the next key frame.
func TestFirstPictureFromCache(t *testing.T) {
	clip, err := camera.Load(camera.ClockGOP10s)
	if err != nil {
		t.Fatal(err)
	}
	cam := startCamera(t, camera.Config{Clip: clip})
	stream := applyRule(t, "cache", cam.URL())
	first := watch(t, stream, "mp4")
	first.wait("a key frame and a second of others", func(f []frame) bool { return len(f) >= 25 && !f[len(f)-1].key })
	for _, format := range formats {
		eventually(t, "a first frame of "+format+" that is older than its viewer", func() bool {
			asked := first.last()
			v := watch(t, stream, format)
			defer v.close()
			checkOrder(t, format, v.more(31))
			return v.first().dts <= asked.dts // else a key frame came before the viewer did
		})
	}
	if n := cam.TotalSessions(); n != 1 {
		t.Errorf("the camera has seen %d RTSP sessions, want 1", n)
	}
}

// Without viewers the stream stops after the grace period; the tunnel stays and serves the next start.
func TestStopsWithoutViewers(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	stream := applyRule(t, "on-demand", cam.URL())
	waitState(t, stream, "idle")
	if n := cam.TotalSessions(); n != 0 {
		t.Fatalf("the camera has seen %d RTSP sessions before the first viewer", n)
	}
	for round := 1; round <= 3; round++ {
		v := watch(t, stream, formats[round%len(formats)])
		v.more(10)
		v.close()
		waitSessions(t, cam, 0)
		waitState(t, stream, "idle")
		if n := cam.TotalSessions(); n != round {
			t.Errorf("round %d: the camera has seen %d RTSP sessions", round, n)
		}
	}
	if n := connects(t, "on-demand"); n != 1 {
		t.Errorf("the stream has had %d tunnels, want 1", n)
	}
}

func TestControl(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	stream := applyRule(t, "control", cam.URL())
	waitState(t, stream, "idle")

	control(t, stream, "start") // without any viewer
	waitState(t, stream, "streaming")
	waitSessions(t, cam, 1)
	v := watch(t, stream, "mse")
	v.more(10)

	control(t, stream, "pause")
	waitState(t, stream, "paused")
	frozen := len(v.wait("anything", func([]frame) bool { return true }))
	waitSessions(t, cam, 1)

	late := watch(t, stream, "mp4") // sees the frozen picture
	late.wait("the frozen picture", func(f []frame) bool { return len(f) > 0 && f[0].key })

	control(t, stream, "resume")
	waitState(t, stream, "streaming")
	v.wait("frames after resume", func(f []frame) bool { return len(f) > frozen+10 })
	if n := cam.TotalSessions(); n != 1 {
		t.Errorf("the camera has seen %d RTSP sessions after a resume, want 1", n)
	}

	control(t, stream, "pause")
	waitState(t, stream, "paused")
	control(t, stream, "start")
	v.more(10)
	if n := cam.TotalSessions(); n != 1 {
		t.Errorf("the camera has seen %d RTSP sessions after pause and start, want 1", n)
	}

	control(t, stream, "stop")
	waitSessions(t, cam, 0)
	if s := waitState(t, stream, "idle"); s.Reason != "Stopped" {
		t.Errorf("reason %q after stop, want Stopped", s.Reason)
	}
	if code, _, body := request(t, http.MethodPost, stream, `{"action":"resume"}`); code != http.StatusConflict {
		t.Errorf("resume of a stopped stream: %d %s", code, body)
	}
	control(t, stream, "start")
	v.more(10) // the same WebSocket
	if n := cam.TotalSessions(); n != 2 {
		t.Errorf("the camera has seen %d RTSP sessions after stop and start, want 2", n)
	}
}

// The camera dies and comes back, then the tunnel is cut: the viewers' connections are the same throughout.
func TestViewersStay(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	stream := applyRule(t, "heal", cam.URL())
	viewers := make([]*viewer, 0, len(formats))
	for _, format := range formats {
		viewers = append(viewers, watch(t, stream, format))
	}
	for _, v := range viewers {
		v.more(10)
	}

	cam.Close()
	waitState(t, stream, "failed")
	cam = startCamera(t, camera.Config{Address: cam.Address()})
	waitState(t, stream, "streaming")
	for _, v := range viewers {
		v.more(30)
	}

	cluster.Proxy.SetDown(true)
	waitState(t, stream, "away")
	cluster.Proxy.SetDown(false)
	waitState(t, stream, "streaming")
	for _, v := range viewers {
		v.more(30)
	}
	if n := cam.TotalSessions(); n != 1 {
		t.Errorf("the camera has seen %d RTSP sessions after the tunnel was cut, want 1", n)
	}

	cam.Stall()
	waitState(t, stream, "failed")
	cam.Resume()
	for _, v := range viewers {
		frames := v.more(30)
		for i := 1; i < len(frames); i++ {
			if frames[i].dts <= frames[i-1].dts {
				t.Fatalf("%s: decoding time goes back at frame %d: %d after %d", v.name, i, frames[i].dts, frames[i-1].dts)
			}
		}
	}
}

// A rule whose endpoint does not exist is there with a reason, and starts by itself when the endpoint appears.
func TestEndpointAppears(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	stream := applyRule(t, "endpoint", "")
	if s := waitState(t, stream, "failed"); !strings.Contains(s.Message, "StreamRuleEndpoint") {
		t.Errorf("message %q does not name what is missing", s.Message)
	}
	v := watch(t, stream, "mse") // waits
	applyEndpoint(t, "endpoint", cam.URL())
	v.more(10)
}

// A target that moves, and a rule that is deleted, end what was there and nothing else.
func TestRuleChanges(t *testing.T) {
	one, two := startCamera(t, camera.Config{}), startCamera(t, camera.Config{})
	stays := watch(t, applyRule(t, "stays", one.URL()), "mp4")
	stays.more(1)
	stream := applyRule(t, "changes", one.URL())
	v := watch(t, stream, "mse")
	v.more(5)
	applyEndpoint(t, "changes", two.URL())
	waitSessions(t, two, 1)
	v.more(5) // the same WebSocket
	if err := cluster.Client.StreamrulesV1alpha1().StreamRules("default").Delete(context.Background(), "changes", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := v.ended(); err == nil {
		t.Error("the viewer of a deleted rule ended without a reason")
	}
	waitSessions(t, two, 0)
	if code := statusCode(t, stream); code != http.StatusNotFound {
		t.Errorf("a deleted rule answers %d", code)
	}
	stays.more(5)
	stays.mu.Lock()
	checkOrder(t, "the other rule's viewer", stays.frames)
	stays.mu.Unlock()
}
