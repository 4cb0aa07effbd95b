// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/weaknet"
)

// TestDecoder lets ffmpeg watch a real clip over a path that carries two thirds of it: it has nothing to complain about.
func TestDecoder(t *testing.T) {
	if !*run {
		t.Skip("no -scenarios: make weaknet runs it")
	}
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("REQUIRE_PLAYERS") != "" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED: ffmpeg is not installed")
	}
	for _, name := range []string{camera.Clock, camera.ClockBFrame, camera.ClockH265} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clip, err := camera.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			clip = clip.Only((*camera.Track).IsVideo) // sound, which is dropped last, would take it all
			rate := bitRate(clip)
			link := weaknet.Start(t, weaknet.Config{Up: at(2 * rate), Down: lan, CongestionControl: "cubic", Seed: 1})
			r := newRig(t, link, clip, false, 1, func(*v1alpha1.EdgeDataStream) {})
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			narrow := time.AfterFunc(5*second, func() { link.SetUp(at(rate * 2 / 3)) })
			defer narrow.Stop()
			out, err := exec.CommandContext(ctx, ffmpeg, "-nostdin", "-v", "error", "-t", "30", "-i", r.urls[0]+"?format=mp4", "-f", "null", "-").CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("ffmpeg: %v\n%s", err, out)
			}
			drops := gather(r.edge, "datastream_edge_dropped_units_total")
			if drops["tail"]+drops["disposable"] == 0 {
				t.Error("nothing was dropped: the path was no test")
			}
			var said []string
			for cause, n := range drops {
				said = append(said, fmt.Sprintf("%.0f %s", n, cause))
			}
			t.Logf("%d bit/s over %d: dropped %s", rate, rate*2/3, strings.Join(said, ", "))
		})
	}
}

// bitRate is that of all tracks together, in bits per second.
func bitRate(clip *camera.Clip) int {
	rate := 0.0
	for _, track := range clip.Tracks {
		bytes := 0
		for _, u := range track.Units {
			for _, part := range u.Payload {
				bytes += len(part)
			}
		}
		rate += float64(bytes) * 8 / track.Period.Seconds()
	}
	return int(rate)
}
