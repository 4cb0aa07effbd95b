// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
)

const camURL = "rtsp://192.0.2.10/stream"

func TestRuleBeforeEndpoint(t *testing.T) {
	h := newHarness(t)
	h.create(rule("door", "cam-1 edge-1 /front"))
	before := h.wantDirectory("edge-1", "default/door/front: StreamRuleEndpoint default/cam-1 does not exist")
	h.wantAssignment("edge-1")

	h.create(endpoint("cam-1", camURL))
	after := h.wantDirectory("edge-1", "default/door/front")
	if before.Revision == after.Revision {
		t.Error("the revision stayed as it was")
	}
	h.stepTo(time.Second)
	a := h.wantAssignment("edge-1", "door/front "+camURL)
	if a.Revision != after.Revision {
		t.Errorf("assignment %s, but directory %s", a.Revision, after.Revision)
	}
	want := assignment.Target{
		Namespace: "default", Rule: "door", RuleUID: "uid-door", Path: "/front", Endpoint: "cam-1", Protocol: "websocket", URL: camURL,
	}
	if got := a.Targets[0]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("target %+v, want %+v", got, want)
	}
}

func TestEndpointChanges(t *testing.T) {
	h := newHarness(t, endpoint("cam-1", camURL), rule("door", "cam-1 edge-1 /front"))
	before := h.settle()
	h.update(endpoint("cam-1", "rtsp://192.0.2.11/stream"))
	after := h.wantDirectory("edge-1", "default/door/front")
	if before.Revision == after.Revision {
		t.Error("the revision stayed as it was")
	}
	h.wantAssignment("edge-1", "door/front rtsp://192.0.2.11/stream")
}

func TestStatusChangesNothing(t *testing.T) {
	r := rule("door", "cam-1 edge-1 /front")
	h := newHarness(t, endpoint("cam-1", camURL), r)
	h.settle()
	withStatus := r.DeepCopy()
	withStatus.Status.DesiredTargets = 1
	h.update(withStatus)
	h.create(rule("other", "cam-1 edge-2 /front")) // an event behind it
	h.wantDirectory("edge-2", "default/other/front")
	h.wantAssignment("edge-2", "other/front "+camURL)
	h.quiet()
}

func TestTargetMoves(t *testing.T) {
	h := newHarness(t, endpoint("cam-1", camURL), rule("door", "cam-1 edge-1 /front"))
	h.settle()
	h.update(rule("door", "cam-1 edge-2 /front"))
	want := map[string]int{"edge-1": 0, "edge-2": 1}
	entries, targets := make(map[string]int), make(map[string]int)
	for range want { // in any order
		d, a := h.directory(), h.assignment()
		entries[d.Node], targets[a.Node] = len(d.Entries), len(a.Targets)
	}
	if !maps.Equal(entries, want) || !maps.Equal(targets, want) {
		t.Errorf("entries %v and targets %v, want %v", entries, targets, want)
	}
}

func TestDeletedRuleLeavesNothing(t *testing.T) {
	h := newHarness(t, endpoint("cam-1", camURL), rule("door", "cam-1 edge-1 /front"))
	h.settle()
	h.deleteRule("door")
	h.wantDirectory("edge-1")
	h.confirm(h.wantAssignment("edge-1"))
	h.quiet()
	if d := h.syncAgain(); len(d) != 0 {
		t.Errorf("a node without targets is still there: %v", d)
	}
}

// A cloudcore that was away when the last rule was deleted learns from the node's report that there is something to undo.
func TestReportOfUnknownNode(t *testing.T) {
	h := newHarness(t)
	h.synced()
	h.c.Report(assignment.Report{Node: "edge-1", Revision: "stale", Tunnels: 0})
	a := h.wantAssignment("edge-1")
	h.confirm(a)
	h.quiet()
	h.confirm(a) // once more, now that the node is forgotten
	h.c.Report(assignment.Report{Node: "edge-2"})
	h.quiet()
}

func TestResendUntilReported(t *testing.T) {
	h := newHarness(t, endpoint("cam-1", camURL), rule("door", "cam-1 edge-1 /front"))
	h.synced()
	first := h.wantAssignment("edge-1", "door/front "+camURL)
	h.wantMetrics(1, 1)
	for _, at := range []int{1, 3, 7, 15, 31} {
		h.stepTo(time.Duration(at) * time.Second)
		if again := h.assignment(); again.Revision != first.Revision {
			t.Errorf("revision %s, want %s", again.Revision, first.Revision)
		}
	}
	h.confirm(first)
	h.quiet()
	h.wantMetrics(0, 6)
}

func TestReportMismatchResends(t *testing.T) {
	h := newHarness(t, endpoint("cam-1", camURL), rule("door", "cam-1 edge-1 /front"))
	h.settle()
	h.c.Report(assignment.Report{Node: "edge-1", Revision: "stale", Tunnels: 1})
	h.wantAssignment("edge-1", "door/front "+camURL)
	h.c.Report(assignment.Report{Node: "edge-1", Revision: "stale", Tunnels: 1})
	h.quiet() // not more often than resendMin
	h.stepTo(time.Minute + time.Second)
	h.wantAssignment("edge-1", "door/front "+camURL)
}

func TestMissingTunnelsResend(t *testing.T) {
	h := newHarness(t, endpoint("cam-1", camURL), rule("door", "cam-1 edge-1 /front"))
	h.synced()
	a := h.wantAssignment("edge-1", "door/front "+camURL)
	h.c.Report(assignment.Report{Node: "edge-1", Revision: a.Revision})
	h.quiet()
	h.stepTo(time.Second) // the resend that the report made unnecessary
	h.stepTo(tunnelGrace)
	h.wantAssignment("edge-1", "door/front "+camURL)
	h.stepTo(tunnelGrace + time.Second)
	h.wantAssignment("edge-1", "door/front "+camURL)
	h.confirm(a)
	h.quiet()
}

func TestSyncAnswersEverything(t *testing.T) {
	h := newHarness(t, endpoint("cam-1", camURL),
		rule("door", "cam-1 edge-1 /front", "cam-1 edge-2 /front"), rule("lost", "cam-2 edge-3 /x"))
	want := []string{
		"edge-1 [default/door/front]", "edge-2 [default/door/front]",
		"edge-3 [default/lost/x: StreamRuleEndpoint default/cam-2 does not exist]",
	}
	for _, directories := range [][]assignment.NodeDirectory{h.synced(), h.syncAgain()} {
		var got []string
		for _, d := range directories {
			got = append(got, fmt.Sprintf("%s %s", d.Node, describe(d)))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestResolve(t *testing.T) {
	secret := endpoint("secret", "rtsp://user:hunter2%zz@192.0.2.10/")
	foreign := endpoint("foreign", camURL)
	foreign.Spec.Protocol = "carrier-pigeon"
	defaulted := endpoint("defaulted", camURL)
	defaulted.Spec.Protocol = ""
	referring := endpoint("referring", camURL)
	referring.Spec.CredentialsSecretRef = &streamrules.SecretReference{Name: "camera"}
	h := newHarness(t, secret, foreign, defaulted, referring, endpoint("relative", "stream"),
		rule("a", "secret n /1", "foreign n /2", "defaulted n /3", "referring n /4", "relative n /5", "defaulted n bad"),
		rule("b", "defaulted n /3", "referring n /3", "defaulted a/b /3"), // the second is a duplicate, the third no node
		in("other", rule("a", "defaulted n /3")))                          // its namespace has no such endpoint
	h.wantDirectory("n",
		"default/a/1: StreamRuleEndpoint default/secret: its URL cannot be parsed",
		`default/a/2: StreamRuleEndpoint default/foreign: protocol "carrier-pigeon" is not supported`,
		"default/a/3",
		"default/a/4: Secret default/camera cannot be read: this cloudcore reads no Secrets",
		"default/a/5: StreamRuleEndpoint default/relative: its URL must begin with scheme://host",
		`default/abad: path "bad" must begin with a slash and have 2 to 512 characters`,
		"default/b/3",
		"other/a/3: StreamRuleEndpoint other/defaulted does not exist")
	h.wantAssignment("n", "a/3 "+camURL, "b/3 "+camURL)
	h.quiet()
}

func TestNodeHasNoRoom(t *testing.T) {
	objects := []runtime.Object{endpoint("cam", camURL)}
	for r := range 9 {
		targets := make([]string, 128)
		for i := range targets {
			targets[i] = fmt.Sprintf("cam n /%d", i)
		}
		objects = append(objects, rule(fmt.Sprintf("r%d", r), targets...))
	}
	h := newHarness(t, objects...)
	a := h.assignment()
	if err := a.Validate(); err != nil || len(a.Targets) != assignment.MaxTargets {
		t.Errorf("%d targets: %v", len(a.Targets), err)
	}
	d := h.directory()
	for i, e := range d.Entries {
		if full := i >= assignment.MaxTargets; full != strings.Contains(e.Problem, "more than 1024") {
			t.Fatalf("entry %d: problem %q", i, e.Problem)
		}
	}
}

// 1000 rules cost one message per node and side, at the start as well as when an endpoint of all of them changes.
func TestThousandRules(t *testing.T) {
	const ruleCount, nodes = 1000, 100
	objects := []runtime.Object{endpoint("cam", camURL)}
	for i := range ruleCount {
		objects = append(objects, rule(fmt.Sprintf("r%d", i), fmt.Sprintf("cam edge-%d /x", i%nodes)))
	}
	h := newHarness(t, objects...)
	if got := len(h.synced()); got != nodes {
		t.Errorf("%d directories, want %d", got, nodes)
	}
	wantOneEach := func(url string) {
		t.Helper()
		seen := make(map[string]bool)
		for range nodes {
			a := h.assignment()
			if len(a.Targets) != ruleCount/nodes || a.Targets[0].URL != url {
				t.Fatalf("%s was sent %v", a.Node, a.Targets)
			}
			seen[a.Node] = true
			h.confirm(a)
		}
		if len(seen) != nodes {
			t.Errorf("%d nodes were sent an assignment, want %d", len(seen), nodes)
		}
		h.quiet()
	}
	wantOneEach(camURL)
	h.clock.Step(time.Minute)
	h.update(endpoint("cam", "rtsp://192.0.2.11/stream"))
	wantOneEach("rtsp://192.0.2.11/stream")
}

func BenchmarkResolve(b *testing.B) {
	objects := []runtime.Object{endpoint("cam", camURL)}
	for i := range 1000 {
		objects = append(objects, rule(fmt.Sprintf("r%d", i), fmt.Sprintf("cam edge-%d /x", i%100)))
	}
	client, _ := newTracker()
	r := newRules(client, nil, changes{})
	for _, obj := range objects {
		switch obj := obj.(type) {
		case *streamrules.StreamRule:
			_ = r.indexer.Add(obj)
		case *streamrules.StreamRuleEndpoint:
			_ = r.factory.Streamrules().V1alpha1().StreamRuleEndpoints().Informer().GetIndexer().Add(obj)
		}
	}
	for b.Loop() {
		for _, node := range r.nodes() {
			_, targets, _ := r.resolve(node)
			assignment.New(node, targets)
		}
	}
}
