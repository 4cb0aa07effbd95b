// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package integration tests the modules together, on the harness of the demo.
package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	config "github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/harness"
	"github.com/kubeedge/datastream/tests/leaks"
	"github.com/kubeedge/datastream/tests/poll"
)

const (
	node = "edge-1"
	// frameTicks is the distance of two frames of the clips, at 90 kHz: 25 frames a second.
	frameTicks = 3600
	// waitTimeout is how long viewers wait for a first picture: longer than any tunnel and camera needs to begin.
	waitTimeout = 30 * time.Second
)

// cluster is the one that this process can have (see harness.Start).
var cluster *harness.Cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	generous, never := harness.Duration(patience), harness.Duration(time.Hour)
	dir, remove, err := harness.TempDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	cluster, err = harness.Start(harness.Options{
		Node: node, Dir: dir, ListenViewers: "127.0.0.1:0",
		Tune: func(cloud *config.CloudDataStream, edge *config.EdgeDataStream) {
			cloud.Stream.StopGrace = harness.Duration(300 * time.Millisecond)
			cloud.Stream.WaitTimeout = harness.Duration(waitTimeout)
			edge.ReconnectMin, edge.ReconnectMax = harness.Duration(50*time.Millisecond), harness.Duration(500*time.Millisecond)
			edge.Source.RetryMin, edge.Source.RetryMax = harness.Duration(50*time.Millisecond), harness.Duration(500*time.Millisecond)
			edge.Source.StallTimeout = harness.Duration(10 * time.Second)
			// A busy machine must pass for nothing else, such as a slow path: what no test asks for is not dropped as late,
			// skipped or given up.
			cloud.Stream.WriteTimeout, cloud.Stream.HoldTime, edge.Source.HoldTime = generous, generous, generous
			cloud.Stream.MaxLag = never
			edge.Queue.Age, edge.Congestion.Latency, edge.Congestion.HeadWait = never, never, never
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return leaks.Check(cluster.Run(m, patience))
}

// startCamera starts a camera that ends with the test.
func startCamera(t *testing.T, cfg camera.Config) *camera.Camera {
	t.Helper()
	c, err := camera.Start(cfg)
	if err != nil {
		t.Fatalf("starting camera: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// applyRule makes a rule of that name with one target, and its endpoint unless url is empty. It returns the
// stream's URL; both objects are deleted after the test.
func applyRule(t *testing.T, name, url string) string {
	t.Helper()
	return applyRuleOn(t, node, name, url)
}

func applyRuleOn(t *testing.T, node, name, url string) string {
	t.Helper()
	ctx := context.Background()
	if url != "" {
		applyEndpoint(t, name, url)
	}
	rule := &v1alpha1.StreamRule{ObjectMeta: metav1.ObjectMeta{Name: name}}
	rule.Spec.Targets = []v1alpha1.StreamTarget{{
		EndpointRef: name, TargetResource: v1alpha1.TargetResource{NodeName: node, Path: "/camera"},
	}}
	if err := harness.ApplyRule(ctx, cluster.Client, rule); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cluster.Client.StreamrulesV1alpha1().StreamRules("default").Delete(ctx, name, metav1.DeleteOptions{})
	})
	stream := "http://" + cluster.Viewers + "/node/" + node + "/" + name + "/camera"
	eventually(t, "the rule to reach the cloud", func() bool { return statusCode(t, stream+"?format=state") == http.StatusOK })
	return stream
}

func applyEndpoint(t *testing.T, name, url string) {
	t.Helper()
	ctx := context.Background()
	e := &v1alpha1.StreamRuleEndpoint{ObjectMeta: metav1.ObjectMeta{Name: name}}
	e.Spec.URL = url
	if err := harness.ApplyEndpoint(ctx, cluster.Client, e); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cluster.Client.StreamrulesV1alpha1().StreamRuleEndpoints("default").Delete(ctx, name, metav1.DeleteOptions{})
	})
}

// eventually asks again until ok; it is for what nothing signals from outside, such as the answer to a request.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	poll.Until(t, patience, what, ok)
}

func request(t *testing.T, method, url, body string) (code int, header http.Header, answer []byte) {
	t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return resp.StatusCode, resp.Header, answer
}

func statusCode(t *testing.T, url string) int {
	t.Helper()
	code, _, _ := request(t, http.MethodGet, url, "")
	return code
}

// state is what ?format=state says.
func state(t *testing.T, stream string) output.Status {
	t.Helper()
	_, _, body := request(t, http.MethodGet, stream+"?format=state", "")
	var s output.Status
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatalf("state: %v in %s", err, body)
	}
	return s
}

func waitState(t *testing.T, stream, want string) output.Status {
	t.Helper()
	var s output.Status
	eventually(t, "state "+want, func() bool {
		s = state(t, stream)
		return s.State == want
	})
	return s
}

func control(t *testing.T, stream, action string) {
	t.Helper()
	if code, _, body := request(t, http.MethodPost, stream, `{"action":"`+action+`"}`); code != http.StatusOK {
		t.Fatalf("%s: %d %s", action, code, body)
	}
}

// waitSessions waits until the camera has that many RTSP sessions open.
func waitSessions(t *testing.T, c *camera.Camera, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.WaitSessions(ctx, func(open, _ int) bool { return open == want }); err != nil {
		t.Fatalf("waiting for %d RTSP sessions (now %d): %v", want, c.Sessions(), err)
	}
}

// ofStream is what the cloud says in that metric of a rule's stream.
func ofStream(t *testing.T, metric, rule string) int {
	t.Helper()
	return int(value(scrape(t, cluster.Viewers), metric, "rule="+rule))
}

// connects is how many tunnels a rule's stream has had so far.
func connects(t *testing.T, rule string) int {
	t.Helper()
	return ofStream(t, "datastream_stream_tunnel_connects_total", rule)
}
