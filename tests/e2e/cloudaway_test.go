// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	"github.com/kubeedge/datastream/hack/localup/cluster"
)

const (
	// awayAtLeast is long enough for every backoff to have reached its end.
	awayAtLeast = 75 * time.Second
	// defaultHeartbeat is EdgeHub's, in seconds. It waits twice as long until it connects again.
	defaultHeartbeat = 15
)

// The cloud is away for so long that everybody waits for long before he tries again. It is so while the other tests run, so this
// one comes early and has a cluster of its own.
func TestCloudAwayForLong(t *testing.T) {
	o := ownOptions(t)
	hub := newProxy(t, o.Ports.CloudHub)
	o.Change = func(name string, modules map[string]any) {
		if name == cluster.Edge1 {
			edgeHub := section(modules, "edgeHub")
			edgeHub["heartbeat"] = defaultHeartbeat
			section(edgeHub, "websocket")["server"] = hub.Address()
		}
	}
	c := newCluster(t, o)
	s := c.newSpace(t)
	kept, dropped, added := target(cluster.Camera1, cluster.Edge1), target(cluster.Camera2, cluster.Edge2), target(cluster.Camera2, cluster.Edge1)
	s.set(kept, dropped)
	s.settled(kept, dropped)

	hub.SetDown(true)
	c.kill(t, cluster.CloudCore)
	enoughTime := time.NewTimer(awayAtLeast)
	s.set(kept, added)
	t.Parallel() // waits for the tests that are not
	<-enoughTime.C

	c.restart(t, cluster.CloudCore)
	must(t, c.CloudReady(patient(t)))
	// Tunnels need no EdgeHub; they wait for up to reconnectMax, 30 s, where nobody listened.
	took := s.cloudHas(map[string]bool{s.path(kept): true, s.path(added): false})
	t.Logf("the tunnel is back %.2f s after cloudcore is ready, without EdgeHub", took.Seconds())
	plays(t, s.url(kept), codec1)
	reopen(t, hub)
	since(t, "EdgeHub's new session", s.settled(kept, added))
	plays(t, s.url(kept), codec1)
	plays(t, s.url(added), codec2)
}
