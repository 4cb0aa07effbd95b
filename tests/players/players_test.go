// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package players lets real players judge the streams: ffmpeg and Chromium. Where they are not installed the tests are skipped,
// or fail if REQUIRE_PLAYERS is set.
package players

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/harness"
)

// patience bounds what must happen; nothing is asserted about time.
const patience = time.Minute

var cluster *harness.Cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, remove, err := harness.TempDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	cluster, err = harness.Start(harness.Options{Node: "edge-1", Dir: dir, ListenViewers: "127.0.0.1:0"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return cluster.Run(m, patience)
}

// program finds a player, or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("REQUIRE_PLAYERS") != "" {
		t.Fatalf("%s is required: %v", name, err)
	}
	t.Skipf("SKIPPED: %s is not installed (apt-get install ffmpeg chromium)", name)
	return ""
}

func load(t *testing.T, clip string) *camera.Clip {
	t.Helper()
	loaded, err := camera.Load(clip)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// stream makes a rule for a camera with that clip and returns its URL.
func stream(t *testing.T, name, clip string) string {
	t.Helper()
	url, _ := streamOf(t, name, camera.Config{Clip: load(t, clip)})
	return url
}

// streamOf makes a camera and a rule for it, and returns the stream's URL.
func streamOf(t *testing.T, name string, cfg camera.Config) (string, *camera.Camera) {
	t.Helper()
	cam, err := camera.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cam.Close)
	ctx := context.Background()
	endpoint := &v1alpha1.StreamRuleEndpoint{ObjectMeta: metav1.ObjectMeta{Name: name}}
	endpoint.Spec.URL = cam.URL()
	rule := &v1alpha1.StreamRule{ObjectMeta: metav1.ObjectMeta{Name: name}}
	rule.Spec.Targets = []v1alpha1.StreamTarget{{
		EndpointRef: name, TargetResource: v1alpha1.TargetResource{NodeName: "edge-1", Path: "/camera"},
	}}
	if err := harness.ApplyEndpoint(ctx, cluster.Client, endpoint); err != nil {
		t.Fatal(err)
	}
	if err := harness.ApplyRule(ctx, cluster.Client, rule); err != nil {
		t.Fatal(err)
	}
	return "http://" + cluster.Viewers + "/node/edge-1/" + name + "/camera", cam
}

// patiently runs a command until it succeeds: a rule takes a moment to arrive.
func patiently(t *testing.T, run func(context.Context) (string, error)) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		out, err := run(ctx)
		if err == nil {
			return out
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%v: %s", err, out)
		case <-time.After(200 * time.Millisecond): // nothing tells when
		}
	}
}

// probe is what ffprobe says of a stream.
func probe(t *testing.T, url string) []string {
	t.Helper()
	ffprobe := program(t, "ffprobe")
	out := patiently(t, func(ctx context.Context) (string, error) {
		cmd := exec.CommandContext(ctx, ffprobe, "-v", "error", "-show_entries", "stream=codec_name", "-of", "json", url)
		out, err := cmd.Output()
		return string(out), err
	})
	var found struct {
		Streams []struct {
			Codec string `json:"codec_name"`
		}
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("ffprobe: %v in %s", err, out)
	}
	var codecs []string
	for _, s := range found.Streams {
		codecs = append(codecs, s.Codec)
	}
	slices.Sort(codecs)
	return codecs
}

// Each clip in each output: ffprobe finds the codecs, and ffmpeg decodes seconds of it, joined somewhere, without
// a word of complaint.
func TestFFmpeg(t *testing.T) {
	ffmpeg := program(t, "ffmpeg")
	for _, c := range []struct{ clip, codecs string }{
		{camera.Clock, "aac h264"},
		{camera.ClockBFrame, "aac h264"},
		{camera.ClockGOP10s, "aac h264"},
		{camera.ClockH265, "hevc opus"},
	} {
		t.Run(strings.TrimSuffix(c.clip, filepath.Ext(c.clip)), func(t *testing.T) {
			t.Parallel()
			url := stream(t, strings.ReplaceAll(strings.TrimSuffix(c.clip, filepath.Ext(c.clip)), "_", "-"), c.clip)
			for _, format := range []string{"mp4", "ts"} {
				if got := strings.Join(probe(t, url+"?format="+format), " "); got != c.codecs {
					t.Errorf("%s: ffprobe finds %q, want %q", format, got, c.codecs)
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				cmd := exec.CommandContext(ctx, ffmpeg, "-nostdin", "-v", "error", "-t", "5", "-i", url+"?format="+format, "-f", "null", "-")
				out, err := cmd.CombinedOutput()
				cancel()
				if err != nil || len(out) > 0 {
					t.Errorf("%s: ffmpeg: %v\n%s", format, err, out)
				}
			}
		})
	}
}

// The camera's clock jumps, its picture changes and it starts anew, while ffmpeg watches: it has nothing to complain about.
func TestFFmpegCameraChanges(t *testing.T) {
	ffmpeg := program(t, "ffmpeg")
	for _, format := range []string{"mp4", "ts"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			url, cam := streamOf(t, "faults-"+format, camera.Config{})
			probe(t, url) // it is there
			ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
			defer cancel()
			const seconds = 20
			var errs bytes.Buffer
			cmd := exec.CommandContext(ctx, ffmpeg, "-nostdin", "-nostats", "-v", "error", "-t", strconv.Itoa(seconds),
				"-i", url+"?format="+format, "-map", "0:v", "-flush_packets", "1", "-f", "framecrc", "-")
			cmd.Stderr = &errs
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pictures := 0
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if !strings.HasPrefix(lines.Text(), "0,") {
					continue
				}
				switch pictures++; pictures {
				case 25:
					cam.Jump(time.Hour)
				case 75:
					if err := cam.SwitchClip(load(t, camera.ClockBFrame)); err != nil {
						t.Error(err)
					}
				case 200:
					cam.Close()
					again, err := camera.Start(camera.Config{Address: cam.Address()})
					if err != nil {
						t.Error(err)
						break
					}
					t.Cleanup(again.Close)
				}
			}
			if err := cmd.Wait(); err != nil || errs.Len() > 0 {
				t.Errorf("ffmpeg: %v\n%s", err, errs.String())
			}
			if pictures < seconds*25/2 {
				t.Errorf("%d pictures in %d s", pictures, seconds)
			}
		})
	}
}
