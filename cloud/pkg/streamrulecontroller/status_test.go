// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
)

// observe makes the observation of a target "endpoint node path" whose stream is in that state; "" is none at all.
func observe(target, state string, change ...func(*observation)) observation {
	spec := rule("x", target).Spec.Targets[0]
	o := observation{spec: &spec, delivered: true, reachable: true}
	if state != "" {
		o.stream = &assignment.StreamState{State: state}
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

func undelivered(o *observation) { o.delivered = false }
func unreachable(o *observation) { o.delivered, o.reachable = false, false }
func broken(reason, message string) func(*observation) {
	return func(o *observation) { o.problem = &problem{reason, message} }
}

func TestConditions(t *testing.T) {
	gone := broken(streamrules.ReasonEndpointMissing, "StreamRuleEndpoint default/cam does not exist")
	for _, tc := range []struct {
		name                        string
		targets                     []observation
		ready, endpoints, delivered string // "" is True; else "Reason: message" of False
		counts                      string // connected streaming
	}{
		{name: "idle", targets: []observation{observe("cam n /a", "idle")}, counts: "1 0"},
		{name: "streaming and paused", targets: []observation{observe("cam n /a", "streaming"), observe("cam n /b", "paused")}, counts: "2 1"},
		{
			name: "endpoint missing", targets: []observation{observe("cam n /a", "failed", gone), observe("cam n /b", "failed", gone)}, counts: "0 0",
			ready:     "EndpointMissing: StreamRuleEndpoint default/cam does not exist",
			endpoints: "EndpointMissing: StreamRuleEndpoint default/cam does not exist",
		},
		{
			name: "endpoint invalid", targets: []observation{observe("cam n /a", "", broken(reasonInvalidEndpoint, "its URL cannot be parsed"))}, counts: "0 0",
			ready: "InvalidEndpoint: its URL cannot be parsed", endpoints: "InvalidEndpoint: its URL cannot be parsed",
		},
		{
			name: "node full", targets: []observation{observe("cam n /a", "", func(o *observation) { o.problem = tooMany })}, counts: "0 0",
			ready: "NodeFull: the node has more than 1024 targets, and older rules come first",
		},
		{
			name: "node away", targets: []observation{observe("cam n /a", "away", unreachable), observe("cam m /b", "", unreachable), observe("cam o /c", "idle")},
			counts: "1 0",
			ready:  "NodeAway: node n is not connected (and 1 more)", delivered: "NodeAway: node n is not connected (and 1 more)",
		},
		{
			name: "delivering to a connected node", targets: []observation{observe("cam n /a", "away", undelivered)}, counts: "0 0",
			ready:     "Delivering: node n has not confirmed its latest assignment",
			delivered: "Delivering: node n has not confirmed its latest assignment",
		},
		{
			name: "older assignment runs", targets: []observation{observe("cam n /a", "streaming", undelivered)}, counts: "1 1",
			ready:     "Delivering: node n has not confirmed its latest assignment",
			delivered: "Delivering: node n has not confirmed its latest assignment",
		},
		{
			name: "no tunnel", targets: []observation{observe("cam n /a", "away")}, counts: "0 0",
			ready: "NodeAway: node n has not opened the tunnel of this target",
		},
		{
			name: "camera refuses", counts: "2 1",
			targets: []observation{observe("cam n /a", "streaming"), observe("cam n /b", "failed", func(o *observation) {
				o.stream.Reason, o.stream.Message = "AuthenticationFailed", "The camera refused the credentials."
			})},
			ready: "SourceFailed: n/b: The camera refused the credentials.",
		},
		{
			name: "the worst comes first", counts: "1 0",
			targets: []observation{observe("cam n /a", "failed"), observe("cam n /b", "away"), observe("cam n /c", "", gone)},
			ready:   "EndpointMissing: StreamRuleEndpoint default/cam does not exist (and 2 more)", endpoints: "EndpointMissing: StreamRuleEndpoint default/cam does not exist",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := rule("x")
			r.Generation = 7
			status := statusOf(r, tc.targets, start)
			if got := fmt.Sprint(status.ConnectedTargets, status.StreamingTargets); got != tc.counts || int(status.DesiredTargets) != len(tc.targets) {
				t.Errorf("counts %s of %d, want %s", got, status.DesiredTargets, tc.counts)
			}
			for kind, want := range map[string]string{
				streamrules.ConditionReady: tc.ready, streamrules.ConditionEndpointsResolved: tc.endpoints, streamrules.ConditionDelivered: tc.delivered,
			} {
				c := meta.FindStatusCondition(status.Conditions, kind)
				got := ""
				if c.Status == metav1.ConditionFalse {
					got = c.Reason + ": " + c.Message
				}
				if got != want || c.Reason == "" || c.ObservedGeneration != 7 || !c.LastTransitionTime.Time.Equal(start) {
					t.Errorf("%s is %+v, want %q", kind, c, want)
				}
			}
		})
	}
}

func TestTransitionTimes(t *testing.T) {
	r := rule("x", "cam n /a", "cam n /b")
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	set := func(seconds int, targets ...observation) {
		r.Generation++
		r.Status = statusOf(r, targets, at(seconds))
	}
	want := func(ready, first, second int) {
		t.Helper()
		c := meta.FindStatusCondition(r.Status.Conditions, streamrules.ConditionReady)
		a, b := r.Status.Targets[0].LastTransitionTime, r.Status.Targets[1].LastTransitionTime
		if !c.LastTransitionTime.Time.Equal(at(ready)) || !a.Time.Equal(at(first)) || !b.Time.Equal(at(second)) {
			t.Errorf("Ready since %v, targets since %v and %v, want %d %d %d", c.LastTransitionTime, a, b, ready, first, second)
		}
		if c.ObservedGeneration != r.Generation || r.Status.ObservedGeneration != r.Generation {
			t.Errorf("observed %d and %d, want %d", c.ObservedGeneration, r.Status.ObservedGeneration, r.Generation)
		}
	}
	set(0, observe("cam n /a", "idle"), observe("cam n /b", "idle"))
	want(0, 0, 0)
	set(1, observe("cam n /a", "streaming"), observe("cam n /b", "idle"))
	want(0, 1, 0)
	set(2, observe("cam n /a", "streaming"), observe("cam n /b", "failed"))
	want(2, 1, 2)
	set(3, observe("cam n /a", "away"), observe("cam n /b", "failed")) // another reason is no transition
	want(2, 3, 2)
	set(4, observe("cam n /b", "failed"), observe("cam n /a", "idle"))
	want(2, 2, 4)
}

// Whatever a node says fits into the CRD's limits.
func TestStatusLimits(t *testing.T) {
	long := strings.Repeat("é", 5000)
	loud := func(o *observation) {
		o.spec.EndpointRef = long
		o.stream = &assignment.StreamState{State: long, Reason: long, Message: "\xff" + long, Codecs: slices.Repeat([]string{"opus"}, 99)}
	}
	var targets []observation
	for i := range 130 {
		targets = append(targets, observe(fmt.Sprintf("cam n /%d", i), "", loud))
	}
	targets = append(targets, observe("cam n /p", "", broken(reasonInvalidEndpoint, "é"+long)), observe("cam n /q", "", broken(reasonInvalidEndpoint, "e"+long)))
	status := statusOf(rule("x"), targets, start)
	if len(status.Targets) != 128 || status.DesiredTargets != 132 {
		t.Errorf("%d targets of %d", len(status.Targets), status.DesiredTargets)
	}
	fits := func(s string, limit int) {
		t.Helper()
		if !utf8.ValidString(s) || utf8.RuneCountInString(s) > limit {
			t.Errorf("%.20q… has %d characters, at most %d are allowed", s, utf8.RuneCountInString(s), limit)
		}
	}
	for _, s := range status.Targets {
		fits(s.Endpoint, 253)
		fits(string(s.State), 63)
		fits(s.Reason, 256)
		fits(s.Message, 1024)
		if len(s.Codecs) > 16 {
			t.Errorf("%d codecs", len(s.Codecs))
		}
	}
	for _, c := range status.Conditions {
		fits(c.Message, 1024)
	}
	if ready := status.Conditions[0].Message; !strings.HasSuffix(ready, " (and 1 more)") {
		t.Errorf("Ready ends with %q", ready[len(ready)-20:])
	}
}

func TestCompare(t *testing.T) {
	r := rule("x", "cam n /a")
	base := statusOf(r, []observation{observe("cam n /a", "idle")}, start)
	with := func(change func(*streamrules.StreamRuleStatus)) *streamrules.StreamRuleStatus {
		s := base.DeepCopy()
		change(s)
		return s
	}
	for _, tc := range []struct {
		other *streamrules.StreamRuleStatus
		want  difference
	}{
		{with(func(s *streamrules.StreamRuleStatus) { s.Targets[0].Codecs = []string{} }), same},
		{with(func(s *streamrules.StreamRuleStatus) { s.Targets[0].Viewers = 3 }), viewersOnly},
		{with(func(s *streamrules.StreamRuleStatus) { s.Targets[0].Viewers, s.Targets[0].Message = 3, "x" }), states},
		{with(func(s *streamrules.StreamRuleStatus) { s.Targets = nil }), states},
		{with(func(s *streamrules.StreamRuleStatus) { s.Targets = append(s.Targets, s.Targets[0]) }), states},
		{with(func(s *streamrules.StreamRuleStatus) { s.Conditions[0].Message = "x" }), states},
	} {
		if got := compare(&base, tc.other); got != tc.want {
			t.Errorf("difference %d to %+v, want %d", got, tc.other, tc.want)
		}
	}
}
