// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hostile attacks a running cloud from both of its sides, as a node and as a viewer that mean harm, and checks
// that somebody else's stream delivers every frame meanwhile.
package hostile

import (
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/klog/v2"
)

// patience is how long a test waits for what must happen. It is no measure: nothing is asserted about time.
const patience = 60 * time.Second

// full turns the counts up to what an attacker would send. Without it the suite has to be over within a minute.
var full = flag.Bool("hostile", false, "attack with the full counts, which takes minutes")

// count is how often something is done: few times, or so often as an attacker would.
func count(few, many int) int {
	if *full {
		return many
	}
	return few
}

// logged counts the bytes that the cloud and the edge have written to their log.
var logged atomic.Int64

type logCounter struct{}

func (logCounter) Write(b []byte) (int, error) {
	logged.Add(int64(len(b)))
	return len(b), nil
}

func TestMain(m *testing.M) {
	flag.Parse()
	klog.LogToStderr(false)
	klog.SetOutput(logCounter{})
	var code int
	if os.Getenv(siegeEnv) == "" {
		code = m.Run()
	} else if err := holdSiege(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
