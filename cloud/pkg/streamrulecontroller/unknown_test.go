// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// unknowing starts a controller whose API server fails on Secrets, and returns the first directory of edge-1. Of its two targets the first needs a
// Secret; edge-2 needs none. Both nodes get their assignments.
func unknowing(t *testing.T, broken error, secrets ...runtime.Object) (*harness, *vault, assignment.NodeDirectory) {
	t.Helper()
	v := newVault(t, secrets...)
	v.setBroken(broken)
	h := newHarnessWithSecrets(t, v.CoreV1(), endpointWithSecret("cam", "rtsp://cam/", "cam"), endpoint("free", "rtsp://free/"),
		rule("door", "cam edge-1 /p", "free edge-1 /q"), rule("gate", "free edge-2 /p"))
	all := h.synced()
	if len(all) != 2 || !slices.Equal(describe(all[0]), []string{"default/door/p", "default/door/q"}) || !slices.Equal(describe(all[1]), []string{"default/gate/p"}) {
		t.Fatalf("directories %+v", all)
	}
	a := h.wantAssignment("edge-1", "door/p rtsp://cam/", "door/q rtsp://free/")
	if !a.Targets[0].NeedsCredentials || a.Targets[1].NeedsCredentials {
		t.Errorf("assignment %+v", a)
	}
	h.confirm(a)
	h.confirm(h.wantAssignment("edge-2", "gate/p rtsp://free/"))
	h.quiet()
	h.clock.Step(time.Minute)
	return h, v, all[0]
}

// directoryWhere takes directories until the first entry of edge-1 fits.
func (h *harness) directoryWhere(fits func(first assignment.Entry) bool) {
	h.Helper()
	for {
		if d := h.directory(); d.Node == "edge-1" && len(d.Entries) > 0 && fits(d.Entries[0]) {
			return
		}
	}
}

func (h *harness) wantReady(want metav1.ConditionStatus, reason string) {
	h.Helper()
	c := meta.FindStatusCondition(h.endpointStatus("cam").Conditions, streamrules.ConditionReady)
	if c.Status != want || c.Reason != reason || want != metav1.ConditionTrue && !strings.Contains(c.Message, "Secret default/cam") {
		h.Errorf("the endpoint's Ready is %+v", c)
	}
}

// A cloudcore that has started and cannot read a Secret takes nothing away from anybody, and says what it does not know.
func TestSecretUnknownAtStart(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		ready  metav1.ConditionStatus
		reason string
	}{
		"unavailable":     {apierrors.NewServiceUnavailable("storage is (re)initializing"), metav1.ConditionUnknown, "CredentialsUnknown"},
		"gone":            {errors.New("connection refused"), metav1.ConditionUnknown, "CredentialsUnknown"},
		"unauthenticated": {apierrors.NewUnauthorized(""), metav1.ConditionUnknown, "CredentialsUnknown"},
		"forbidden":       {forbidden, metav1.ConditionFalse, "CredentialsForbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, v, first := unknowing(t, tc.err, basicAuth("cam", "u", "p"))
			if e := first.Entries; !e[0].CredentialsUnknown || !e[0].Credentials.IsZero() || e[1].CredentialsUnknown {
				t.Errorf("directory %+v", first)
			}
			h.wantReady(tc.ready, tc.reason)
			v.setBroken(nil)
			h.directoryWhere(func(e assignment.Entry) bool {
				return e.Credentials == tunnel.NewCredentials("rtsp://cam", "u", "p") && !e.CredentialsUnknown
			})
			h.quiet() // the nodes had the same assignment all the time
			h.wantReady(metav1.ConditionTrue, "Ready")
		})
	}
}

// What is known in the end is believed: that there is none, or that it may not be read.
func TestSecretUnknownAndGone(t *testing.T) {
	for name, learn := range map[string]func(*harness, *vault){
		streamrules.ReasonCredentialsMissing: func(_ *harness, v *vault) { v.setBroken(nil) },
		streamrules.ReasonCredentialsForbidden: func(h *harness, v *vault) {
			s := h.c.rules.secrets
			s.mu.Lock()
			w := s.watches[v.name("cam")]
			s.mu.Unlock()
			s.set(w, secretState{problem: &problem{streamrules.ReasonCredentialsForbidden, "cloudcore may not read Secret default/cam"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, v, _ := unknowing(t, errors.New("connection refused"))
			learn(h, v)
			h.directoryWhere(func(e assignment.Entry) bool {
				return e.Problem != "" && e.Credentials.IsZero() && !e.CredentialsUnknown
			})
			h.wantAssignment("edge-1", "door/q rtsp://free/")
			h.wantReady(metav1.ConditionFalse, name)
		})
	}
}

// The API server is asked until it answers, however long that takes; that it forbids is believed in the end.
func TestSecretIsAskedForAgain(t *testing.T) {
	follow := func(t *testing.T, broken error) (*vault, *secrets, chan secretState) {
		v := newVault(t, basicAuth("cam", "u", "p"))
		v.setBroken(broken)
		states := make(chan secretState, 16)
		var s *secrets
		s = newSecrets(v.CoreV1(), func(name types.NamespacedName) {
			state, _ := s.get(name)
			states <- state
		})
		ctx, cancel := context.WithCancel(context.Background())
		s.start(ctx)
		t.Cleanup(func() { cancel(); s.wait() })
		s.refer(v.name("endpoint"), &streamrules.SecretReference{Name: "cam"})
		if first := <-states; !first.unknown {
			t.Errorf("at first: %+v", first)
		}
		return v, s, states
	}
	t.Run("broken for an hour", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			v, _, states := follow(t, apierrors.NewServiceUnavailable("etcd has no leader"))
			time.Sleep(time.Hour)
			if len(states) > 0 {
				t.Errorf("news: %+v", <-states)
			}
			v.setBroken(nil)
			if state := <-states; state.unknown || state.problem != nil || state.credentials.Password() != "p" {
				t.Errorf("in the end: %+v", state)
			}
		})
	})
	t.Run("forbidden for good", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			v, _, states := follow(t, forbidden)
			time.Sleep(forbiddenGrace - time.Second)
			if len(states) > 0 {
				t.Errorf("too early: %+v", <-states)
			}
			if state := <-states; state.unknown || state.problem.reason != streamrules.ReasonCredentialsForbidden {
				t.Errorf("in the end: %+v", state)
			}
			v.setBroken(nil)
			if state := <-states; state.problem != nil {
				t.Errorf("allowed: %+v", state)
			}
		})
	})
}

// A target whose Secret is not known is what its stream is, and no more than a doubt to its rule.
func TestStatusOfDoubt(t *testing.T) {
	r := rule("door", "cam edge-1 /p")
	doubt := notRead(nameOf(endpoint("cam", "")), "connection refused")
	refused := &problem{streamrules.ReasonCredentialsForbidden, "cloudcore may not read it"}
	for name, tc := range map[string]struct {
		doubt             *problem
		state, reason     string // of the stream
		want              streamrules.TargetState
		wantReason        string
		ready, endpoints  metav1.ConditionStatus
		readyReason, text string
	}{
		"streams": {doubt, "streaming", "", "streaming", "", "Unknown", "Unknown", "CredentialsUnknown", "connection refused"},
		"idle":    {doubt, "idle", "", "idle", "", "Unknown", "Unknown", "CredentialsUnknown", "connection refused"},
		"starved": {doubt, "failed", "CredentialsMissing", "failed", "CredentialsUnknown", "False", "Unknown", "SourceFailed", "connection refused"},
		"fails":   {doubt, "failed", "Unreachable", "failed", "Unreachable", "False", "Unknown", "SourceFailed", "Unreachable"},
		"away":    {doubt, "away", "", "away", "NodeAway", "False", "Unknown", "NodeAway", "tunnel"},
		"refused": {refused, "streaming", "", "streaming", "", "False", "False", "CredentialsForbidden", "may not read"},
		"none":    {nil, "streaming", "", "streaming", "", "True", "True", "Ready", "can be watched"},
	} {
		t.Run(name, func(t *testing.T) {
			status := statusOf(r, []observation{{
				spec: &r.Spec.Targets[0], delivered: true, reachable: true, doubt: tc.doubt,
				stream: &assignment.StreamState{State: tc.state, Reason: tc.reason},
			}}, start)
			if got := status.Targets[0]; got.State != tc.want || got.Reason != tc.wantReason {
				t.Errorf("target is %+v", got)
			}
			if c := meta.FindStatusCondition(status.Conditions, streamrules.ConditionReady); c.Status != tc.ready || c.Reason != tc.readyReason || !strings.Contains(c.Message, tc.text) {
				t.Errorf("Ready is %+v", c)
			}
			if c := meta.FindStatusCondition(status.Conditions, streamrules.ConditionEndpointsResolved); c.Status != tc.endpoints {
				t.Errorf("EndpointsResolved is %+v", c)
			}
		})
	}
}

// What was read of a Secret is for the endpoints that refer to it, and for no other: one that moves to another address and to a Secret that cannot be
// read has none until that can be, and takes nothing of the old Secret to the new address.
func TestSecretUnknownOfMovedEndpoint(t *testing.T) {
	v := newVault(t, basicAuth("cam", "u", "old"), basicAuth("other", "u", "new"))
	h := newHarnessWithSecrets(t, v.CoreV1(), endpointWithSecret("cam", "rtsp://cam/", "cam"), rule("door", "cam edge-1 /p"))
	h.directoryWhere(func(e assignment.Entry) bool { return e.Credentials == tunnel.NewCredentials("rtsp://cam", "u", "old") })
	v.setBroken(errors.New("connection refused"))
	h.update(endpointWithSecret("cam", "rtsp://elsewhere/", "other"))
	h.directoryWhere(func(e assignment.Entry) bool {
		if !e.Credentials.IsZero() && e.Credentials.Origin() != "rtsp://cam" {
			t.Errorf("the endpoint has credentials for %s", e.Credentials.Origin())
		}
		return e.CredentialsUnknown && e.Credentials.IsZero()
	})
	v.setBroken(nil)
	h.directoryWhere(func(e assignment.Entry) bool {
		if !e.Credentials.IsZero() && e.Credentials != tunnel.NewCredentials("rtsp://elsewhere", "u", "new") {
			t.Errorf("the endpoint has other credentials than those of its Secret, for %s", e.Credentials.Origin())
		}
		return !e.CredentialsUnknown && !e.Credentials.IsZero()
	})
}
