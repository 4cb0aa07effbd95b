// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leaks fails runs of tests that leave goroutines behind.
package leaks

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines may take to end: a busy machine needs longer than goleak waits by itself.
const patience = 2 * time.Minute

// Check returns the exit code of a run, or 1 if that is 0 and goroutines are left that are not those of the options.
func Check(code int, options ...goleak.Option) int {
	if code != 0 {
		return code
	}
	for deadline := time.Now().Add(patience); ; {
		err := goleak.Find(options...)
		if err == nil {
			return 0
		}
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
}
