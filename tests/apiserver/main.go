// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"fmt"
	"os"
	"testing"

	"github.com/kubeedge/datastream/tests/leaks"
)

// Main runs a package's tests within environment, which makes what they share, and returns the exit code. Where there is no control
// plane they are skipped, unless $E2E_CLUSTER is set, as "make e2e" does. Goroutines that are left fail the run.
func Main(m *testing.M, environment func(etcd, server string, use func()) error) int {
	etcd, server, err := Find()
	if err != nil {
		if os.Getenv("E2E_CLUSTER") != "" {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println("skipped:", err)
		return 0
	}
	code := 1
	if err := environment(etcd, server, func() { code = m.Run() }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return leaks.Check(code)
}
