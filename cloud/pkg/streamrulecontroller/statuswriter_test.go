// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned/fake"
)

// bench drives a status writer step by step: no informers, no goroutine but the queue's.
type bench struct {
	*testing.T
	*statusWriter
	client *fake.Clientset
	clock  timerClock
	record *record.FakeRecorder
}

var door = types.NamespacedName{Namespace: "default", Name: "door"}

func newBench(t *testing.T, objects ...runtime.Object) *bench {
	client, _ := newTracker(objects...)
	b := &bench{T: t, client: client, clock: newTimerClock(), record: record.NewFakeRecorder(4096)}
	r := newRules(client, nil, changes{})
	seen := newObservations(func(types.NamespacedName, time.Duration) {})
	b.statusWriter = newStatusWriter(client.StreamrulesV1alpha1(), r, seen, statusConfig{b.clock, b.record}, newMetrics())
	t.Cleanup(b.queue.ShutDown)
	b.refresh()
	return b
}

// refresh is the informers.
func (b *bench) refresh() {
	b.Helper()
	all, err := b.client.StreamrulesV1alpha1().StreamRules("").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range all.Items {
		_ = b.rules.indexer.Update(&all.Items[i])
	}
	endpoints, err := b.client.StreamrulesV1alpha1().StreamRuleEndpoints("").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	indexer := b.rules.factory.Streamrules().V1alpha1().StreamRuleEndpoints().Informer().GetIndexer()
	for i := range endpoints.Items {
		_ = indexer.Update(&endpoints.Items[i])
	}
	b.client.ClearActions()
}

// resolve is the controller's worker, for the only node.
func (b *bench) resolve(delivered, reachable bool) {
	all, _, _ := b.rules.resolve("edge-1")
	b.seen.setNode("edge-1", all, delivered, reachable)
}

// stream is CloudDataStream's report of one stream.
func (b *bench) stream(path, state string, viewers int) {
	b.seen.setStreams(assignment.StreamStates{Streams: []assignment.StreamState{stateOf("door", path, state, viewers)}})
}

func stateOf(ruleName, path, state string, viewers int) assignment.StreamState {
	target := assignment.Target{Namespace: "default", Rule: ruleName, Path: path}
	return assignment.StreamState{Key: target.Key("edge-1"), RuleUID: "uid-" + ruleName, State: state, Viewers: viewers}
}

// sync syncs the rule and returns how often its status was written and after which time it is to be looked at again.
func (b *bench) sync() (writes int, again time.Duration) {
	b.Helper()
	again, err := b.syncRule(context.Background(), door)
	if err != nil {
		b.Fatal(err)
	}
	writes = len(b.client.Actions())
	b.refresh()
	return writes, again
}

func (b *bench) want(writes int, again time.Duration) {
	b.Helper()
	if w, a := b.sync(); w != writes || a != again {
		b.Errorf("%d writes and again after %v, want %d and %v", w, a, writes, again)
	}
}

func (b *bench) status() streamrules.StreamRuleStatus {
	b.Helper()
	r, err := b.client.StreamrulesV1alpha1().StreamRules("default").Get(context.Background(), "door", metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.client.ClearActions()
	return r.Status
}

func (b *bench) wantEvents(events ...string) {
	b.Helper()
	var got []string
	for len(b.record.Events) > 0 {
		got = append(got, <-b.record.Events)
	}
	if !slices.Equal(got, events) {
		b.Errorf("events %q, want %q", got, events)
	}
}

func doorRule(targets ...string) *streamrules.StreamRule {
	r := rule("door", targets...)
	r.Generation = 1
	return r
}

// A target from its first sight to a lost node: one write and the right Event for each change, none in between.
func TestTransitions(t *testing.T) {
	b := newBench(t, doorRule("cam edge-1 /front", "cam edge-1 /back"))
	b.want(0, 0) // not resolved yet: nothing is known of this generation
	b.resolve(true, false)
	step := func(writes int, events ...string) {
		t.Helper()
		b.clock.Step(restartGrace)
		b.want(writes, 0)
		b.want(0, 0)
		b.wantEvents(events...)
	}
	step(1, "Warning EndpointMissing StreamRuleEndpoint default/cam does not exist",
		"Normal Delivered every node runs its latest assignment")

	_ = b.rules.factory.Streamrules().V1alpha1().StreamRuleEndpoints().Informer().GetIndexer().Add(endpoint("cam", camURL))
	b.resolve(false, false)
	step(1, "Normal Resolved every endpoint exists")
	b.resolve(true, true)
	step(1, "Normal Delivered every node runs its latest assignment")
	b.stream("/front", "idle", 0)
	b.stream("/back", "idle", 0)
	step(1)
	if s := b.status(); s.Conditions[0].Reason != "Ready" || s.ConnectedTargets != 2 {
		t.Errorf("status %+v", s)
	}
	b.stream("/front", "connecting", 1)
	step(1)
	b.stream("/front", "streaming", 1)
	b.stream("/back", "streaming", 1)
	step(1, "Normal TargetStreaming edge-1/front is streaming (and 1 more)")
	b.stream("/front", "streaming", 2)
	step(1)
	b.stream("/front", "failed", 2)
	step(1, "Warning TargetFailed edge-1/front: ")
	b.stream("/front", "away", 0)
	b.stream("/back", "away", 0)
	b.resolve(true, false)
	step(1, "Warning NodeAway edge-1/front: node edge-1 is not connected (and 1 more)")
}

func TestWriteIntervals(t *testing.T) {
	b := newBench(t, endpoint("cam", camURL), doorRule("cam edge-1 /front"))
	b.clock.Step(restartGrace)
	b.resolve(true, true)
	b.stream("/front", "idle", 0)
	b.want(1, 0)
	b.stream("/front", "connecting", 1)
	b.want(0, time.Second)
	b.clock.Step(400 * time.Millisecond)
	b.stream("/front", "streaming", 1)
	b.want(0, 600*time.Millisecond)
	b.clock.Step(600 * time.Millisecond)
	b.want(1, 0)
	if s := b.status().Targets[0]; s.State != "streaming" || s.Viewers != 1 {
		t.Errorf("target %+v", s)
	}

	b.stream("/front", "streaming", 2)
	b.want(0, 10*time.Second)
	b.clock.Step(9 * time.Second)
	b.stream("/front", "streaming", 3)
	b.want(0, time.Second)
	b.stream("/front", "streaming", 1)
	b.want(0, 0) // as it was
	b.stream("/front", "streaming", 4)
	b.clock.Step(time.Second)
	b.want(1, 0)
	b.wantEvents("Normal Delivered every node runs its latest assignment", "Normal TargetStreaming edge-1/front is streaming")
}

// Numbers of viewers are written only while the limiter has much left.
func TestViewersYieldToStates(t *testing.T) {
	b := newBench(t, endpoint("cam", camURL), doorRule("cam edge-1 /front"))
	b.clock.Step(restartGrace)
	b.resolve(true, true)
	b.stream("/front", "streaming", 0)
	b.want(1, 0)
	b.clock.Step(time.Minute)
	b.limiter.AllowN(b.clock.Now(), writeBurst/2+1)
	b.stream("/front", "streaming", 1)
	b.want(0, viewersInterval)
	b.stream("/front", "idle", 0)
	b.want(1, 0)
}

func TestRestartGrace(t *testing.T) {
	r := doorRule("cam edge-1 /front")
	r.Status.ObservedGeneration = 1
	b := newBench(t, endpoint("cam", camURL), r)
	b.clock.Step(time.Second)
	b.resolve(false, false)
	b.want(0, restartGrace-time.Second)
	b.clock.Step(restartGrace - time.Second)
	b.want(1, 0)
}

// Until the node's assignment follows from the newest spec, its old confirmation says nothing.
func TestNewGenerationIsNotDeliveredYet(t *testing.T) {
	b := newBench(t, endpoint("cam", camURL), doorRule("cam edge-1 /front"))
	b.resolve(true, true)
	b.want(1, 0)
	b.clock.Step(time.Minute)
	newer := doorRule("cam edge-1 /front", "cam edge-1 /back", "cam edge-1 /back", "cam a/b /x")
	newer.Generation = 2
	newer.Status = b.status()
	_ = b.rules.indexer.Update(newer)
	b.want(0, 0)
	_ = b.rules.indexer.Update(newer) // want has refreshed it
	b.resolve(false, true)
	if _, err := b.syncRule(context.Background(), door); err != nil {
		t.Fatal(err)
	}
	s := b.status()
	if s.ObservedGeneration != 2 || s.DesiredTargets != 3 || s.Targets[2].Reason != reasonInvalidTarget || s.Conditions[2].Status != metav1.ConditionFalse {
		t.Errorf("status %+v", s)
	}
}

func TestStreamsOfObservations(t *testing.T) {
	b := newBench(t, endpoint("cam", camURL), doorRule("cam edge-1 /front", "cam edge-1 /back"))
	stateIs := func(front, back string) {
		t.Helper()
		obj, _, _ := b.rules.indexer.GetByKey(door.String())
		targets, _ := b.seen.of(obj.(*streamrules.StreamRule))
		var got []string
		for i := range targets {
			state, _, _ := targets[i].state()
			got = append(got, string(state))
		}
		if !slices.Equal(got, []string{front, back}) {
			t.Errorf("states %v, want %s and %s", got, front, back)
		}
	}
	b.stream("/front", "idle", 0) // nobody knows that target yet
	b.resolve(true, true)
	stateIs("away", "away")
	b.stream("/front", "idle", 0)
	b.stream("/back", "paused", 0)
	b.resolve(false, true)
	stateIs("idle", "paused")
	stranger := stateOf("door", "/back", "failed", 0)
	stranger.RuleUID = "the rule before it"
	b.seen.setStreams(assignment.StreamStates{Streams: []assignment.StreamState{stranger}})
	stateIs("idle", "paused")
	b.seen.setStreams(assignment.StreamStates{Full: true, Streams: []assignment.StreamState{stateOf("door", "/back", "idle", 0)}})
	stateIs("away", "idle")
	b.seen.setNode("edge-1", nil, true, false)
	if len(b.seen.nodes) != 0 {
		t.Error("a node without targets is still there")
	}
}

func TestEndpointStatus(t *testing.T) {
	good, bad := endpoint("good", camURL), endpoint("bad", "rtsp://user:hunter2%zz@192.0.2.10/")
	b := newBench(t, good, bad)
	for _, e := range []*streamrules.StreamRuleEndpoint{good, bad} {
		for _, want := range []int{1, 0} {
			if err := b.syncEndpoint(context.Background(), nameOf(e)); err != nil {
				t.Fatal(err)
			}
			if got := len(b.client.Actions()); got != want {
				t.Errorf("%d writes of %s, want %d", got, e.Name, want)
			}
			b.refresh()
		}
		after, err := b.client.StreamrulesV1alpha1().StreamRuleEndpoints("default").Get(context.Background(), e.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c := after.Status.Conditions[0]
		want := map[string]string{"good": "Ready True Ready: the endpoint can be used", "bad": "Ready False InvalidEndpoint: its URL cannot be parsed"}[e.Name]
		if got := fmt.Sprintf("%s %s %s: %s", c.Type, c.Status, c.Reason, c.Message); got != want {
			t.Errorf("condition %q, want %q", got, want)
		}
		if after.Spec.URL != e.Spec.URL {
			t.Errorf("the write changed the spec to %+v", after.Spec)
		}
		b.client.ClearActions()
	}
	if err := b.syncEndpoint(context.Background(), types.NamespacedName{Namespace: "default", Name: "none"}); err != nil {
		t.Error(err)
	}
}

// patches tells of each write of a rule's status: its rule, or an error that respond returned instead.
func patches(t *testing.T, client *fake.Clientset, respond func(name string) error) <-chan string {
	out := make(chan string, 4096)
	client.PrependReactor("patch", "streamrules", func(action kubetesting.Action) (bool, runtime.Object, error) {
		patch := action.(kubetesting.PatchAction)
		if patch.GetSubresource() != "status" {
			t.Errorf("patch of %q", patch.GetSubresource())
		}
		err := respond(patch.GetName())
		if err != nil {
			out <- "refused"
			return true, nil, err
		}
		out <- patch.GetName()
		return false, nil, nil
	})
	return out
}

func accept(string) error { return nil }

func TestConflictIsRetried(t *testing.T) {
	h := newHarness(t)
	conflicts := 1
	writes := patches(t, h.client, func(string) error {
		if conflicts--; conflicts >= 0 {
			return apierrors.NewConflict(streamrules.Resource("streamrules"), "door", nil)
		}
		return nil
	})
	h.create(doorRule("cam edge-1 /front"))
	h.wantDirectory("edge-1", "default/door/front: StreamRuleEndpoint default/cam does not exist")
	stepTo(t, h.statusClock, gatherTime)
	if got := receiveOne(t, "write", writes); got != "refused" {
		t.Fatalf("first came %q", got)
	}
	stepTo(t, h.statusClock, gatherTime+retryMin)
	if got := receiveOne(t, "write", writes); got != "door" {
		t.Errorf("then came %q", got)
	}
	if got := receiveOne(t, "event", h.events.Events); got != "Warning EndpointMissing StreamRuleEndpoint default/cam does not exist" {
		t.Errorf("event %q", got)
	}
}

// Changes of 1000 rules at once are written with the limiter's burst and then its rate, one write for each rule.
func TestThousandStatuses(t *testing.T) {
	const ruleCount = 1000
	var objects []runtime.Object
	states := assignment.StreamStates{Full: true}
	for i := range ruleCount {
		r := rule(fmt.Sprintf("r%d", i), "cam edge-1 /x")
		objects = append(objects, r)
		states.Streams = append(states.Streams, stateOf(r.Name, "/x", "streaming", i))
	}
	b := newBench(t, append(objects, endpoint("cam", camURL))...)
	writes := patches(t, b.client, accept)
	b.resolve(true, true)
	b.seen.touch = b.touch
	b.seen.setStreams(states)

	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { b.work(ctx) })
	defer func() { cancel(); b.queue.ShutDown(); work.Wait() }()
	seen := make(map[string]bool)
	for i := range ruleCount {
		if i >= writeBurst {
			stepTo(t, b.clock, time.Duration(i-writeBurst+1)*time.Second/writesPerSecond)
		}
		seen[receiveOne(t, "write", writes)] = true
	}
	if len(seen) != ruleCount {
		t.Errorf("%d rules were written, want %d", len(seen), ruleCount)
	}
}

// From kubectl apply to a status, through all that is there.
func TestStatusOfAppliedRule(t *testing.T) {
	h := newHarness(t, endpoint("cam", camURL))
	writes := patches(t, h.client, accept)
	h.synced() // so that quiet waits for its own
	h.create(doorRule("cam edge-1 /front"))
	h.wantDirectory("edge-1", "default/door/front")
	h.confirm(h.assignment())
	h.quiet()
	h.c.States(assignment.StreamStates{Streams: []assignment.StreamState{stateOf("door", "/front", "idle", 0)}})
	receiveOne(t, "write", writes)
	if got := receiveOne(t, "event", h.events.Events); got != "Normal Delivered every node runs its latest assignment" {
		t.Errorf("event %q", got)
	}
	r, err := h.api.StreamRules("default").Get(context.Background(), "door", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Status; s.ConnectedTargets != 1 || s.Conditions[0].Status != metav1.ConditionTrue || len(r.Spec.Targets) != 1 {
		t.Errorf("status %+v", s)
	}
}
