// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests what build/manifests/monitoring gives to those who operate streams: the dashboard and the alerts against
// docs/metrics.md, promtool and a real Prometheus that scrapes a real cloud and edge, and the traces against a collector. Grafana
// itself is not part of it: package render stands in for it.
package monitoring

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	config "github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/tests/harness"
	"github.com/kubeedge/datastream/tests/leaks"
	"github.com/kubeedge/datastream/tests/monitoring/collector"
	"github.com/kubeedge/datastream/tests/ports"
)

const (
	node     = "edge-1"
	patience = 2 * time.Minute
)

var (
	// cluster is the one that this process can have (see harness.Start), spans where its traces go, edgeMetrics the address of its
	// edge's metrics.
	cluster     *harness.Cluster
	spans       *collector.Collector
	edgeMetrics string

	screenshot = flag.String("screenshot", "", "a PNG file to draw the dashboard into")
	load       = flag.Duration("load", 3*time.Minute, "how long the load lasts that the screenshot shows")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, remove, err := harness.TempDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	if spans, err = collector.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if edgeMetrics, err = ports.Free("127.0.0.1:0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cluster, err = harness.Start(harness.Options{
		Node: node, Dir: dir, ListenViewers: "127.0.0.1:0",
		Tune: func(cloud *config.CloudDataStream, edge *config.EdgeDataStream) {
			// A camera that fails is left before its viewer comes again, and fails anew; one that works has time to start.
			cloud.Stream.StopGrace, cloud.Stream.WaitTimeout = harness.Duration(300*time.Millisecond), harness.Duration(20*time.Second)
			cloud.Tracing = &config.Tracing{Endpoint: spans.Address(), Insecure: true, SamplingRatePerMillion: 1e6}
			// At the edge only what a viewer asks for is sampled: the test of traces is about that.
			edge.Tracing = &config.Tracing{Endpoint: spans.Address(), Insecure: true}
			edge.Metrics.Listen = edgeMetrics
			edge.Source.RetryMin, edge.Source.RetryMax = harness.Duration(500*time.Millisecond), harness.Duration(2*time.Second)
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := cluster.Run(m, patience)
	spans.Close()
	return leaks.Check(code)
}
