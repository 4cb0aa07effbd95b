// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package canary proves that the credentials of cameras show up nowhere. It runs the real modules of cloud and edge with everything logged at
// -v=4, lets all that can happen to credentials happen, and then searches whatever came out for user names and passwords that are nowhere
// else. client-go's object tracker stands in for kube-apiserver: tests/e2e has the real one.
package canary

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/klog/v2"

	config "github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/tests/harness"
	"github.com/kubeedge/datastream/tests/leaks"
)

const (
	node     = "edge-1"
	patience = 2 * time.Minute
)

var (
	cluster   *harness.Cluster
	storeFile string
	// logs is what all logging libraries say, messages what CloudHub has carried, history what statuses there were.
	logs, messages, history buffer
)

// buffer is written by many and read by one.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flags := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(flags)
	for _, f := range [][2]string{{"v", "4"}, {"logtostderr", "false"}, {"alsologtostderr", "false"}, {"stderrthreshold", "FATAL"}} {
		if err := flags.Set(f[0], f[1]); err != nil {
			panic(err)
		}
	}
	klog.SetOutput(&logs)
	log.SetOutput(&logs)
	slog.SetDefault(slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer klog.SetOutput(io.Discard)

	dir, remove, err := harness.TempDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	cluster, err = harness.Start(harness.Options{
		Node: node, Dir: dir, ListenViewers: "127.0.0.1:0",
		Relayed: func(content []byte) { _, _ = messages.Write(append(content, '\n')) },
		Tune: func(cloud *config.CloudDataStream, edge *config.EdgeDataStream) {
			cloud.Stream.StopGrace = harness.Duration(300 * time.Millisecond)
			cloud.Stream.WaitTimeout = harness.Duration(time.Second)
			edge.ReconnectMin, edge.ReconnectMax = harness.Duration(50*time.Millisecond), harness.Duration(500*time.Millisecond)
			edge.Source.RetryMin, edge.Source.RetryMax = harness.Duration(50*time.Millisecond), harness.Duration(500*time.Millisecond)
			// Sessions end because of their credentials, and not because the machine is busy.
			edge.Source.StallTimeout, cloud.Stream.HoldTime = harness.Duration(patience), harness.Duration(patience)
			storeFile = edge.StoreFile
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := cluster.Run(m, patience)
	klog.Flush()
	code = leaks.Check(code, goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"))
	if code != 0 {
		fmt.Fprintln(os.Stderr, logs.String())
	}
	return code
}
