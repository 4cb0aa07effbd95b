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

	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/leaks"
)

// patience is how long a test waits for what must happen. It is no measure: nothing is asserted about time.
const patience = 2 * time.Minute

// never is how long nothing may take that no test asks for: a busy machine is to pass for nothing else.
const never = time.Hour

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
	// Before anything runs: no tunnel is lost to a machine that is busy with an attack.
	tunnel.DefaultTiming.ReadTimeout, tunnel.DefaultTiming.WriteTimeout, tunnel.DefaultTiming.AnswerTimeout = never, never, never
	var code int
	if os.Getenv(siegeEnv) == "" {
		code = m.Run()
	} else if err := holdSiege(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(leaks.Check(code))
}
