// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"

	"github.com/kubeedge/datastream/hack/localup/cluster"
	"github.com/kubeedge/datastream/tests/harness"
)

// newProxy makes a proxy to CloudHub. It ends with the test.
func newProxy(t *testing.T, cloudHub int) *harness.Proxy {
	t.Helper()
	p, err := harness.NewProxy(net.JoinHostPort("127.0.0.1", strconv.Itoa(cloudHub)))
	must(t, err)
	t.Cleanup(p.Close)
	return p
}

// section returns that of a name within another.
func section(parent map[string]any, name string) map[string]any { return parent[name].(map[string]any) }

// moveEdgeHub has the node's EdgeHub dial another address from its next start on, and returns the one of before.
func moveEdgeHub(t *testing.T, node, address string) string {
	t.Helper()
	var before string
	must(t, env.Change(node, func(modules map[string]any) {
		webSocket := section(section(modules, "edgeHub"), "websocket")
		before = webSocket["server"].(string)
		webSocket["server"] = address
	}))
	return before
}

// throughProxy has the node's EdgeHub go through a proxy until the end of the test.
func throughProxy(t *testing.T, node string) *harness.Proxy {
	t.Helper()
	p := newProxy(t, env.Ports.CloudHub)
	must(t, env.Kill(patient(t), node))
	before := moveEdgeHub(t, node, p.Address())
	env.restart(t, node)
	t.Cleanup(func() {
		must(t, env.Kill(patient(t), node))
		moveEdgeHub(t, node, before)
		env.restart(t, node)
	})
	return p
}

// reopen lets connections through the proxy again, and returns when there is one.
func reopen(t *testing.T, p *harness.Proxy) {
	t.Helper()
	before := p.Dials()
	p.SetDown(false)
	eventually(t, "EdgeHub's new session", func(context.Context) error {
		if p.Dials() == before {
			return errors.New("EdgeHub has not dialled")
		}
		return nil
	})
}

// The messages for a node without a session of CloudHub are lost; its tunnels and whoever watches know nothing of that.
func TestEdgeHubSessionReplaced(t *testing.T) {
	s := newSpace(t)
	kept, dropped, added := target(cluster.Camera1, cluster.Edge1), target(cluster.Camera2, cluster.Edge2), target(cluster.Camera2, cluster.Edge1)
	hub := throughProxy(t, cluster.Edge1)
	s.set(kept, dropped)
	s.settled(kept, dropped)
	few := watch(t, s.url(kept), 3)
	few.more(t, enough)
	few.forget()

	hub.SetDown(true)
	s.set(kept, added)
	s.cloudHas(map[string]bool{s.path(kept): true, s.path(added): false})
	few.more(t, enough)
	reopen(t, hub)
	since(t, "EdgeHub's new session", s.settled(kept, added))
	plays(t, s.url(added), codec2)
	few.more(t, enough)
	few.undisturbed(t)
}
