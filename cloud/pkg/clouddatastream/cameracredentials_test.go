// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"testing"

	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Credentials go to the edge with start and pause, again when they change, and never with stop.
func TestCredentials(t *testing.T) {
	r := newRig(t)
	one, two := tunnel.NewCredentials("rtsp://cam", "u", "1"), tunnel.NewCredentials("rtsp://cam", "u", "2")
	told := func(action tunnel.Action, want tunnel.Credentials) {
		t.Helper()
		r.wantAction(action)
		if r.tunnel.desired.Credentials != want {
			t.Errorf("the edge is told other credentials with %s", action)
		}
	}
	r.update(assignment.Entry{RuleUID: "uid", Credentials: one})
	r.mustConnect(1)
	told(tunnel.Stop, tunnel.Credentials{})
	_, detach := r.attach()
	told(tunnel.Start, one)
	r.send(1, 3, 1)
	generation := r.generation
	r.update(assignment.Entry{RuleUID: "uid", Credentials: two})
	told(tunnel.Start, two)
	if r.generation != generation+1 || !r.flowing || len(r.gop.Units()) != 3 {
		t.Errorf("generation %d of %d, flowing %t with %d units: the rotation was noticed", r.generation, generation, r.flowing, len(r.gop.Units()))
	}
	r.update(assignment.Entry{RuleUID: "uid", Credentials: two})
	if r.generation != generation+1 {
		t.Error("the edge is told the same again")
	}
	if err := r.Control("pause"); err != nil {
		t.Fatal(err)
	}
	told(tunnel.Pause, two)
	r.disconnect(r.tunnel)
	r.mustConnect(2) // as after an outage
	told(tunnel.Pause, two)
	r.update(assignment.Entry{RuleUID: "uid", Problem: "the Secret is gone"})
	told(tunnel.Stop, tunnel.Credentials{})
	r.update(assignment.Entry{RuleUID: "uid", Credentials: one})
	told(tunnel.Pause, one)
	if err := r.Control("stop"); err != nil {
		t.Fatal(err)
	}
	told(tunnel.Stop, tunnel.Credentials{})
	detach()
}
