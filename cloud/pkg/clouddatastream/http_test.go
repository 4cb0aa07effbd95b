// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"fmt"
	"testing"
)

// However often a peer comes, from whatever ports and with whatever reasons, there are few lines about it.
func TestRefusalLogIsBounded(t *testing.T) {
	l := newRefusalLog("test")
	logger := l.logger()
	for port := range 10_000 {
		remote := fmt.Sprintf("192.0.2.1:%d", port)
		logger.Printf("http: TLS handshake error from %s: read tcp 198.51.100.1:10006->%s: i/o timeout", remote, remote)
	}
	if n := len(l.seen); n != 1 {
		t.Errorf("%d lines about one peer and reason", n)
	}
	for i := range 10_000 {
		l.log("192.0.2.2:1", fmt.Sprintf("node edge-1 may not act as node %d", i))
	}
	if n := len(l.seen); n > 2*refusalLinesBurst {
		t.Errorf("%d lines at once", n)
	}
}
