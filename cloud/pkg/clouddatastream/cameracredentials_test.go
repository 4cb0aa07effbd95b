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

// After a start the cloud may not know the credentials. An edge that has them goes on: it is told no stop that would have it forget them before it is clear
// whether somebody watches.
func TestCredentialsUnknown(t *testing.T) {
	known, unknown := tunnel.NewCredentials("rtsp://cam", "u", "1"), assignment.Entry{RuleUID: "uid", CredentialsUnknown: true}
	toldNothing := func(t *testing.T, r *rig) {
		t.Helper()
		if len(r.tunnel.wake) > 0 || r.tunnel.desired != (tunnel.Desired{}) {
			t.Errorf("the edge is told %+v", r.tunnel.desired)
		}
	}
	t.Run("viewers come back", func(t *testing.T) {
		r := newRig(t)
		r.update(unknown)
		r.mustConnect(1)
		toldNothing(t, r)
		_, detach := r.attach()
		defer detach()
		r.wantAction(tunnel.Start)
		if !r.tunnel.desired.Credentials.IsZero() {
			t.Error("there are credentials")
		}
		r.disconnect(r.tunnel)
		r.mustConnect(2)
		r.wantAction(tunnel.Start)
		r.update(assignment.Entry{RuleUID: "uid", Credentials: known})
		r.wantAction(tunnel.Start)
		if r.tunnel.desired.Credentials != known {
			t.Error("the edge is not told the credentials")
		}
	})
	t.Run("nobody comes", func(t *testing.T) {
		for name, e := range map[string]assignment.Entry{
			"known": {RuleUID: "uid", Credentials: known}, "gone": {RuleUID: "uid", Problem: "the Secret is gone"},
		} {
			r := newRig(t)
			r.update(unknown)
			r.mustConnect(1)
			toldNothing(t, r)
			r.update(e)
			if r.wantAction(tunnel.Stop); len(r.tunnel.wake) == 0 || r.tunnel.desired.Action != tunnel.Stop {
				t.Errorf("%s: the edge is told %+v", name, r.tunnel.desired)
			}
		}
	})
	t.Run("the Secret turns out to be gone", func(t *testing.T) {
		r := newRig(t)
		r.update(unknown)
		r.mustConnect(1)
		_, detach := r.attach()
		defer detach()
		r.update(assignment.Entry{RuleUID: "uid", Problem: "the Secret is gone"})
		r.wantAction(tunnel.Stop)
	})
}
