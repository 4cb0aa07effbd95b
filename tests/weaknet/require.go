// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package weaknet

import (
	"errors"
	"os"
	"testing"
)

// Require skips the test where a link cannot be had, and says why. If REQUIRE_WEAKNET is set it fails instead.
func Require(tb testing.TB) {
	tb.Helper()
	link, err := New(Config{})
	if err == nil {
		err = link.Close()
	}
	require(tb, err)
}

// Start makes a link that ends with the test, or skips or fails as Require does.
func Start(tb testing.TB, cfg Config) *Link {
	tb.Helper()
	link, err := New(cfg)
	require(tb, err)
	if want := cfg.CongestionControl; want != "" && want != link.CongestionControl() {
		tb.Logf("the kernel has no %s: the link uses %s", want, link.CongestionControl())
	}
	tb.Cleanup(func() {
		if err := link.Close(); err != nil {
			tb.Errorf("the link failed: %v", err)
		}
	})
	return link
}

func require(tb testing.TB, err error) {
	tb.Helper()
	if err == nil {
		return
	}
	if errors.Is(err, ErrNotPermitted) && os.Getenv("REQUIRE_WEAKNET") == "" {
		tb.Skipf("SKIPPED WITHOUT A WEAK NETWORK (set REQUIRE_WEAKNET=1 to fail instead): %v", err)
	}
	tb.Fatalf("making a weak network: %v", err)
}
