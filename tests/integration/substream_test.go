// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream"
	config "github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/harness"
)

// A path that becomes too slow for the main stream carries the substream, and later the main stream again. Viewers keep their
// connection, and every picture can be decoded.
func TestSubstream(t *testing.T) {
	// At this speed the main stream takes 70 kB/s, the substream 30; the path will carry 45 for a while.
	const speed, slow = 4, 45_000
	clock, small := load(t, camera.Clock), load(t, camera.ClockGOP10s)
	sound := clock.Only(func(track *camera.Track) bool { return !track.IsVideo() })
	small = &camera.Clip{Tracks: append(small.Only((*camera.Track).IsVideo).Tracks, sound.Tracks...)}
	clips := []*camera.Clip{clock, small}
	main := startCamera(t, camera.Config{Clip: clock, Speed: speed, Username: "user", Password: "secret"})
	sub := startCamera(t, camera.Config{Clip: small, Speed: speed, Username: "user", Password: "secret"})
	path, stream := applySubstream(t, main, sub)

	var viewers []*recording
	for _, format := range formats {
		viewers = append(viewers, record(t, stream, format))
	}
	saying := func(reason string) {
		t.Helper()
		eventually(t, "reason "+strconv.Quote(reason), func() bool {
			s := state(t, stream)
			return s.State == "streaming" && s.Reason == reason
		})
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
	saying("")
	goOn()
	path.Rate(slow, 0)
	saying("Congested")
	goOn()
	path.Rate(0, 0)
	saying("")
	goOn()
	goOn()
	waitSessions(t, main, 1)
	waitSessions(t, sub, 0)

	for _, v := range viewers {
		v.close()
		if marked := v.check(t, clips, 1); v.format != "mp4" && marked < 2 {
			t.Errorf("%s: %d breaks are marked, want 2", v.format, marked)
		}
		if shown := fmt.Sprint(order(t, v, clips)); !strings.Contains(shown, "0 1 0") { // a busy machine may have looked like a slow path before
			t.Errorf("%s showed the clips %s", v.format, shown)
		}
	}
}

// order is which clips a viewer was shown, one after the other.
func order(t *testing.T, v *recording, clips []*camera.Clip) []int {
	t.Helper()
	frames, _ := knownFrames(clips...)
	bodies, _ := v.snapshot()
	pictures, _, err := v.pictures(bodies[0])
	if err != nil {
		t.Fatalf("%s: %v", v.format, err)
	}
	var shown []int
	for _, p := range pictures {
		shown = append(shown, frames[p.slices][0].clip)
	}
	return slices.Compact(shown)
}

// applySubstream makes a node of its own with a camera of two streams. It returns the node's path to the cloud and the stream's URL.
func applySubstream(t *testing.T, main, sub *camera.Camera) (path *harness.Proxy, stream string) {
	t.Helper()
	const node, name = "edge-substream", "substream"
	path, err := harness.NewProxy(cluster.Tunnels)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(path.Close)
	cfg := config.NewDefaultEdgeDataStream()
	cfg.Enable, cfg.NodeName, cfg.Server, cfg.CAFile = true, node, "wss://"+path.Address(), cluster.CA.CAFile()
	cfg.StoreFile = t.TempDir() + "/assignment.json"
	cfg.Substream.CalmMin, cfg.Substream.CalmMax = harness.Duration(2*time.Second), harness.Duration(4*time.Second)
	if cfg.CertFile, cfg.KeyFile, err = cluster.CA.Node(node); err != nil {
		t.Fatal(err)
	}

	ctx := context.Background()
	endpoint := &v1alpha1.StreamRuleEndpoint{ObjectMeta: metav1.ObjectMeta{Name: name}}
	endpoint.Spec.URL = strings.Replace(main.URL(), "//", "//user:secret@", 1)
	endpoint.Spec.Properties = map[string]string{"substreamURL": sub.URL()} // the user is that of the URL
	rule := &v1alpha1.StreamRule{ObjectMeta: metav1.ObjectMeta{Name: name}}
	rule.Spec.Targets = []v1alpha1.StreamTarget{{EndpointRef: name, TargetResource: v1alpha1.TargetResource{NodeName: node, Path: "/camera"}}}
	if err := harness.ApplyEndpoint(ctx, cluster.Client, endpoint); err != nil {
		t.Fatal(err)
	}
	if err := harness.ApplyRule(ctx, cluster.Client, rule); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client := cluster.Client.StreamrulesV1alpha1()
		_ = client.StreamRules("default").Delete(ctx, name, metav1.DeleteOptions{})
		_ = client.StreamRuleEndpoints("default").Delete(ctx, name, metav1.DeleteOptions{})
	})

	agent := edgedatastream.NewAgent(cfg, edgedatastream.DefaultSources(), edgedatastream.NewMetrics(prometheus.NewRegistry()),
		edgedatastream.WithNetDial((&net.Dialer{Control: smallSegments}).DialContext))
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	// The relay serves another node.
	if err := agent.Apply(assignment.New(node, []assignment.Target{{
		Namespace: "default", Rule: name, RuleUID: string(rule.UID), Path: "/camera", Endpoint: name, Protocol: "websocket",
		URL: endpoint.Spec.URL, Properties: endpoint.Spec.Properties,
	}})); err != nil {
		t.Fatal(err)
	}
	stream = "http://" + cluster.Viewers + "/node/" + node + "/" + name + "/camera"
	eventually(t, "the tunnel", func() bool { return statusCode(t, stream+"?format=state") == 200 && state(t, stream).State == "idle" })
	return path, stream
}

// smallSegments gives a connection the segments of an Ethernet. Those of the loopback have up to 64 KiB: at the rates here they come seconds apart.
func smallSegments(_, _ string, c syscall.RawConn) error {
	var refused error
	err := c.Control(func(fd uintptr) {
		refused = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 1400)
	})
	return errors.Join(err, refused)
}
