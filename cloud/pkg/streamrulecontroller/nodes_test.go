// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata/fake"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/tests/poll"
)

var nodeResource = corev1.SchemeGroupVersion.WithResource("nodes")

// nodesHarness is a harness whose controller looks at Node objects.
type nodesHarness struct {
	*harness
	nodes *fake.FakeMetadataClient
}

func newNodesHarness(t *testing.T, policy v1alpha1.NodePolicy, nodes []string, objects ...runtime.Object) *nodesHarness {
	t.Helper()
	client, watching := newTracker(objects...)
	scheme := fake.NewTestScheme()
	must(metav1.AddMetaToScheme(scheme))
	h := &nodesHarness{nodes: fake.NewSimpleMetadataClient(scheme), harness: &harness{
		T: t, outbox: newOutbox(), api: client.StreamrulesV1alpha1(),
		clock: newTimerClock(), statusClock: newTimerClock(), events: record.NewFakeRecorder(4096), client: client,
	}}
	watched := make(chan struct{}, 64)
	h.nodes.PrependWatchReactor("*", func(action kubetesting.Action) (bool, watch.Interface, error) {
		w, err := h.nodes.Tracker().Watch(action.GetResource(), action.GetNamespace())
		watched <- struct{}{}
		return true, w, err
	})
	for _, name := range nodes {
		h.createNode(name)
	}
	cfg := v1alpha1.NewDefaultStreamRuleController()
	cfg.Nodes = policy
	noJitter := func(d time.Duration) time.Duration { return d }
	h.c = newController(cfg, client, nil, h.outbox, h.clock, noJitter, statusConfig{h.statusClock, h.events})
	h.c.FollowNodes(h.nodes)
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { h.c.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	watching(t)
	receiveOne(t, "watch of nodes", watched)
	return h
}

func (h *nodesHarness) createNode(name string) {
	h.Helper()
	node := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"much": "more"}},
	}
	if _, err := h.nodes.Resource(nodeResource).(fake.MetadataClient).CreateFake(node, metav1.CreateOptions{}); err != nil {
		h.Fatal(err)
	}
}

func (h *nodesHarness) deleteNode(name string) {
	h.Helper()
	if err := h.nodes.Resource(nodeResource).Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		h.Fatal(err)
	}
}

// wantRefused takes the next directory of the node, which says why the node is not let in.
func (h *nodesHarness) wantRefused(node, why string, entries ...string) {
	h.Helper()
	if d := h.wantDirectory(node, entries...); d.Refused != why {
		h.Fatalf("%s is refused since %q, want %q", node, d.Refused, why)
	}
}

// A node whose Node object is deleted is cut off, and let in again when there is one.
func TestNodeDeleted(t *testing.T) {
	for _, policy := range []v1alpha1.NodePolicy{v1alpha1.NodesAny, v1alpha1.NodesRegistered} {
		t.Run(string(policy), func(t *testing.T) {
			h := newNodesHarness(t, policy, []string{"edge-1", "edge-2"}, endpoint("cam", "rtsp://cam/1"), rule("gate", "cam edge-1 /a"), rule("yard", "cam edge-2 /a"))
			h.wantRefused("edge-1", "", "default/gate/a")
			h.wantRefused("edge-2", "", "default/yard/a")
			first := h.wantAssignment("edge-1", "gate/a rtsp://cam/1")
			h.wantAssignment("edge-2", "yard/a rtsp://cam/1")
			h.confirm(first)

			h.deleteNode("edge-1")
			h.wantRefused("edge-1", "the Node was deleted", "default/gate/a: the Node was deleted")
			h.clock.Step(time.Minute)
			h.wantAssignmentOf("edge-1") // no camera's address any more

			h.createNode("edge-1")
			h.wantRefused("edge-1", "", "default/gate/a")
		})
	}
}

// wantAssignmentOf waits for an assignment of a node with these targets, whatever others come before it.
func (h *nodesHarness) wantAssignmentOf(node string, targets ...string) {
	h.Helper()
	for {
		if a := h.assignment(); a.Node == node && len(a.Targets) == len(targets) {
			return
		}
	}
}

// A node that never had a Node object runs without edged. Whether it is let in is configured.
func TestNodeWithoutObject(t *testing.T) {
	for policy, why := range map[v1alpha1.NodePolicy]string{v1alpha1.NodesAny: "", v1alpha1.NodesRegistered: nodeMissing.message} {
		t.Run(string(policy), func(t *testing.T) {
			h := newNodesHarness(t, policy, nil, endpoint("cam", "rtsp://cam/1"), rule("gate", "cam edge-1 /a"))
			entry := "default/gate/a"
			if why != "" {
				entry += ": " + why
			}
			h.wantRefused("edge-1", why, entry)
			if why != "" {
				h.createNode("edge-1")
				h.wantRefused("edge-1", "", "default/gate/a")
			}
		})
	}
}

// Nobody to ask is no reason to let anybody in where Nodes are asked for.
func TestNobodyToAsk(t *testing.T) {
	if p := newNodeObjects(v1alpha1.NodesRegistered, nil, nil).refused("edge-1"); p != nodeMissing {
		t.Errorf("refused with %v", p)
	}
	if p := newNodeObjects(v1alpha1.NodesAny, nil, nil).refused("edge-1"); p != nil {
		t.Errorf("refused with %v", p)
	}
}

// Nodes that come and go for years are forgotten, the oldest first, but none that a rule names.
func TestNodesComeAndGo(t *testing.T) {
	rules := map[string]bool{"ruled": true}
	n := newNodeObjects(v1alpha1.NodesAny, func(string) {}, func(node string) bool { return rules[node] })
	node := func(name string, there bool) {
		n.set(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name}}, there)
	}
	comeAndGo := func(name string) {
		node(name, true)
		node(name, false)
	}
	node("there", true)
	comeAndGo("ruled")
	comeAndGo("back")
	node("back", true)
	for i := range 3 * deletedMax {
		comeAndGo(fmt.Sprint("autoscaled-", i))
	}
	for name, want := range map[string]*problem{
		"there": nil, "back": nil, "ruled": nodeDeleted,
		"autoscaled-0": nil, fmt.Sprint("autoscaled-", 3*deletedMax-1): nodeDeleted,
	} {
		if p := n.refused(name); p != want {
			t.Errorf("%s is refused with %v, want %v", name, p, want)
		}
	}
	if len(n.deleted) != deletedMax || len(n.known) != deletedMax+2 {
		t.Errorf("%d Nodes are known and %d of them deleted, want %d and 2 that are there", len(n.known), len(n.deleted), deletedMax)
	}

	// What rules have held on to goes with them.
	for i := range 2 * deletedMax {
		name := fmt.Sprint("site-", i)
		rules[name] = true
		comeAndGo(name)
	}
	if p := n.refused("site-0"); p != nodeDeleted || len(n.deleted) != 2*deletedMax+1 {
		t.Errorf("%v; %d deleted Nodes are known, want those that rules name", p, len(n.deleted))
	}
	clear(rules)
	comeAndGo("last")
	if p := n.refused("last"); p != nodeDeleted || len(n.deleted) != deletedMax || len(n.known) != deletedMax+2 {
		t.Errorf("%v; %d Nodes are known and %d of them deleted", p, len(n.known), len(n.deleted))
	}
}

// A rule that is taken away and comes again, as when somebody applies another set of them, finds that its node's Node was deleted meanwhile.
func TestRuleComesBackToDeletedNode(t *testing.T) {
	h := newNodesHarness(t, v1alpha1.NodesAny, []string{"edge-1"}, endpoint("cam", "rtsp://cam/1"), rule("gate", "cam edge-1 /a"))
	h.wantRefused("edge-1", "", "default/gate/a")
	h.confirm(h.wantAssignment("edge-1", "gate/a rtsp://cam/1"))
	h.deleteRule("gate")
	h.wantDirectory("edge-1")
	h.deleteNode("edge-1")
	poll.Until(t, patience, "the Node to be known as deleted", func() bool { return h.c.objects.refused("edge-1") == nodeDeleted })
	h.create(rule("gate", "cam edge-1 /a"))
	h.wantRefused("edge-1", "the Node was deleted", "default/gate/a: the Node was deleted")
}
