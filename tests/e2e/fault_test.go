// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
	"time"

	"github.com/kubeedge/datastream/hack/localup/cluster"
)

// since logs how long it took since something until all was as desired: ten seconds at most, on a machine that is not busy with other things.
func since(t *testing.T, what string, took time.Duration) {
	t.Helper()
	t.Logf("as desired %.2f s after %s", took.Seconds(), what)
}

// restart starts a process that was killed.
func (e *environment) restart(t *testing.T, name string) {
	t.Helper()
	must(t, e.Start(name))
}

// kill ends a process as kill -9 does, and starts it again at the end of the test unless the test does.
func (e *environment) kill(t *testing.T, name string) {
	t.Helper()
	must(t, e.Kill(patient(t), name))
	t.Cleanup(func() {
		if !e.Alive(name) {
			e.restart(t, name)
		}
	})
}

// faultSpace has a camera at edge-1, and leaves edge-2 alone. It returns what it has.
func faultSpace(t *testing.T) *space {
	t.Helper()
	s := newSpace(t)
	before := target(cluster.Camera1, cluster.Edge1)
	s.set(before)
	s.settled(before)
	plays(t, s.url(before), codec1)
	return s
}

// The messages that CloudHub has for a node that is off are lost.
func TestNodeOffWhileRulesChange(t *testing.T) {
	s := faultSpace(t)
	after := target(cluster.Camera2, cluster.Edge1)
	env.kill(t, cluster.Edge1)
	s.set(after)
	s.away(after) // the cloud knows the rule
	env.restart(t, cluster.Edge1)
	since(t, "edgecore's start", s.settled(after))
	plays(t, s.url(after), codec2)
}

// The connections of a node that hangs stay open for a while: what is sent to it arrives later, or never.
func TestNodeHangsWhileRulesChange(t *testing.T) {
	s := faultSpace(t)
	between, after := target(cluster.Camera1, cluster.Edge2), target(cluster.Camera2, cluster.Edge1)
	must(t, env.Suspend(cluster.Edge1))
	t.Cleanup(func() { must(t, env.Resume(cluster.Edge1)) })
	s.set(between)
	plays(t, s.url(between), codec1)
	s.set(after)
	must(t, env.Resume(cluster.Edge1))
	since(t, "edgecore goes on", s.settled(after))
	plays(t, s.url(after), codec2)
}

// A node that is given up and then goes on gets new sessions, of CloudHub and of its tunnels, beside which the old ones must not count.
func TestNodeGivenUpWhileRulesChange(t *testing.T) {
	s := faultSpace(t)
	before, after := target(cluster.Camera1, cluster.Edge1), target(cluster.Camera2, cluster.Edge1)
	must(t, env.Suspend(cluster.Edge1))
	t.Cleanup(func() { must(t, env.Resume(cluster.Edge1)) })
	s.away(before)
	s.set(after)
	s.away(after)
	must(t, env.Resume(cluster.Edge1))
	t.Logf("as desired %.2f s after edgecore goes on, of which EdgeHub waits 6", s.settled(after).Seconds())
	plays(t, s.url(after), codec2)
}

func TestCloudCoreKilled(t *testing.T) {
	s := faultSpace(t)
	after := target(cluster.Camera2, cluster.Edge2)
	env.kill(t, cluster.CloudCore)
	s.set(after)
	began := time.Now()
	env.restart(t, cluster.CloudCore)
	must(t, env.CloudReady(patient(t)))
	ready := time.Since(began)
	took := s.settled(after)
	since(t, "cloudcore is ready", took)
	t.Logf("cloudcore was ready after %.1f s, of which it sleeps up to 9", ready.Seconds())
	plays(t, s.url(after), codec2)
}

func TestEdgeCoreKilled(t *testing.T) {
	s := faultSpace(t)
	same := target(cluster.Camera1, cluster.Edge1)
	env.kill(t, cluster.Edge1)
	s.away(same)
	env.restart(t, cluster.Edge1)
	since(t, "edgecore's start", s.settled(same))
	plays(t, s.url(same), codec1)
}

// A node that starts without the cloud runs what it has stored: it dials the tunnels of its last assignment.
func TestEdgeCoreStartsWithoutCloud(t *testing.T) {
	s := faultSpace(t)
	same := target(cluster.Camera1, cluster.Edge1)
	env.kill(t, cluster.CloudCore)
	env.kill(t, cluster.Edge1)
	dialled := listenForTunnels(t)
	env.restart(t, cluster.Edge1)
	took, _ := dialled.await(t, s.tunnel(same))
	t.Logf("the stored target was dialled %.1f s after edgecore's start", took.Seconds())
	dialled.stop()

	env.restart(t, cluster.CloudCore)
	must(t, env.CloudReady(patient(t)))
	since(t, "cloudcore is ready", s.settled(same))
	plays(t, s.url(same), codec1)
}

func TestAPIServerKilled(t *testing.T) {
	s := faultSpace(t)
	same := target(cluster.Camera1, cluster.Edge1)
	env.kill(t, cluster.APIServer)
	plays(t, s.url(same), codec1) // streams need no API server
	env.restart(t, cluster.APIServer)
	must(t, env.APIReady(patient(t)))
	after := target(cluster.Camera2, cluster.Edge1)
	s.set(after)
	since(t, "the API server is ready", s.settled(after))
	plays(t, s.url(after), codec2)
}
