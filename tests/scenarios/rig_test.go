// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/harness"
	"github.com/kubeedge/datastream/tests/weaknet"
)

const node = "edge-1"

// rig is a cloud and an edge node on either side of a weak link, with cameras and a viewer for each. All of it is real; only
// CloudHub and Kubernetes are left out.
type rig struct {
	link    *weaknet.Link
	cameras []*camera.Camera
	streams []*watched
	urls    []string
	edge    *prometheus.Registry
	queue   int // bound in bytes of all queues together
	peak    peak
}

// watched is one stream as the cloud and a viewer see it.
type watched struct {
	probe  *probe
	viewer *viewer
}

// newRig starts everything and returns when each viewer has got a picture. It ends with the test.
func newRig(t *testing.T, link *weaknet.Link, clip *camera.Clip, marked bool, cameras int, tune func(*v1alpha1.EdgeDataStream)) *rig {
	t.Helper()
	r := &rig{link: link, edge: prometheus.NewRegistry()}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})

	dir := t.TempDir()
	ca, err := harness.NewAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	tunnels, err := link.Cloud.Listen(ctx, 10006)
	if err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	viewers, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	probes := newProbes()
	server := clouddatastream.NewServer(cloudConfig(t, ca), func(assignment.Report) {}, clouddatastream.WithOutput("probe", probes.output))
	edgeCfg := edgeConfig(t, ca, dir)
	tune(edgeCfg)
	r.queue = cameras * edgeCfg.Queue.Bytes
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return link.Edge.DialContext(ctx, network, tunnels.Addr().String())
	}
	agent := edgedatastream.NewAgent(edgeCfg, edgedatastream.DefaultSources(), edgedatastream.NewMetrics(r.edge), edgedatastream.WithNetDial(dial))

	directory := assignment.NodeDirectory{Node: node}
	var targets []assignment.Target
	for i := range cameras {
		cam, err := camera.Start(camera.Config{Clip: clip})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cam.Close)
		r.cameras = append(r.cameras, cam)
		rule := fmt.Sprintf("camera-%d", i)
		targets = append(targets, assignment.Target{
			Namespace: "default", Rule: rule, RuleUID: "uid-" + rule, Path: "/camera", Endpoint: rule, Protocol: "websocket", URL: cam.URL(),
		})
		directory.Entries = append(directory.Entries, assignment.Entry{Namespace: "default", Rule: rule, RuleUID: "uid-" + rule, Path: "/camera"})
	}
	server.Apply(directory)
	server.Synced()
	running.Go(func() {
		if err := server.Serve(ctx, tunnels, viewers); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() { _ = agent.Run(ctx) })
	running.Go(func() { r.peak.watch(ctx, r.edge) })
	if err := agent.Apply(assignment.New(node, targets)); err != nil {
		t.Fatal(err)
	}

	for _, target := range targets {
		url := fmt.Sprintf("http://%s/node/%s/%s/camera", viewers.Addr(), node, target.Rule)
		running.Go(func() { attend(ctx, url+"?format=probe") })
		r.urls = append(r.urls, url)
		w := &watched{viewer: newViewer(marked)}
		running.Go(func() { w.viewer.watch(ctx, url+"?format=mp4") })
		r.streams = append(r.streams, w)
		select {
		case <-w.viewer.first:
		case <-time.After(time.Minute):
			t.Fatalf("no picture of %s: %v", target.Rule, w.viewer.err())
		}
		w.probe = probes.of(target.Rule)
	}
	return r
}

func cloudConfig(t *testing.T, ca *harness.Authority) *v1alpha1.CloudDataStream {
	t.Helper()
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Enable = true
	cfg.Stream.Listen = "127.0.0.1:0"
	cfg.Stream.Authentication = v1alpha1.AuthenticationNone
	cfg.Tunnel.CAFile = ca.CAFile()
	var err error
	if cfg.Tunnel.CertFile, cfg.Tunnel.KeyFile, err = ca.Server(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func edgeConfig(t *testing.T, ca *harness.Authority, dir string) *v1alpha1.EdgeDataStream {
	t.Helper()
	cfg := v1alpha1.NewDefaultEdgeDataStream()
	cfg.Enable, cfg.NodeName, cfg.Server, cfg.StoreFile = true, node, "wss://127.0.0.1:10006", dir+"/assignment.json"
	cfg.CAFile = ca.CAFile()
	var err error
	if cfg.CertFile, cfg.KeyFile, err = ca.Node(node); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// attend keeps a viewer of an output there, again whenever it is let go.
func attend(ctx context.Context, url string) {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body) // until it is let go
			resp.Body.Close()
		}
	}
}

var _ output.Viewable = (*probe)(nil)
