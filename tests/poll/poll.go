// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package poll asks again and again, in tests, for what nothing signals from outside, such as the answer to a request.
package poll

import (
	"testing"
	"time"
)

const interval = 10 * time.Millisecond

// Until asks until ok, and fails the test where that is in vain for as long as patience.
func Until(t *testing.T, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(interval)
	}
}
