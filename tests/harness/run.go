// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Run runs a package's tests, which are a *testing.M, on the cluster once it is ready, and stops it. It returns the exit code, which is 1 also
// if the cluster is not ready within patience.
func (c *Cluster) Run(tests interface{ Run() int }, patience time.Duration) int {
	defer c.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.WaitReady(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return tests.Run()
}
