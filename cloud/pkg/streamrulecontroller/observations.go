// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// gatherTime is how long a change waits for others before a status is written. A rule that was applied is delivered and
// connected within this time if its node is there, and is then written once instead of three times.
const gatherTime = 500 * time.Millisecond

// confirmTime is how long a node that got another assignment has to confirm it before its rules are looked at: all
// of them, most of which the change does not even concern.
const confirmTime = 2 * time.Second

// observations are what is known of targets besides their rules: what became of them in their node's assignment,
// and what CloudDataStream says of their streams.
type observations struct {
	touch func(rule types.NamespacedName, delay time.Duration)

	mu    sync.Mutex
	nodes map[string]*observedNode
}

type observedNode struct {
	delivered bool // it runs its latest assignment
	reachable bool // it has tunnels
	targets   map[tunnel.StreamKey]*observedTarget
}

type observedTarget struct {
	ruleUID    string
	generation int64 // of the rule
	problem    *problem
	doubt      *problem
	stream     *assignment.StreamState // nil until CloudDataStream has told
}

func newObservations(touch func(types.NamespacedName, time.Duration)) *observations {
	return &observations{touch: touch, nodes: make(map[string]*observedNode)}
}

func ruleOf(key tunnel.StreamKey) types.NamespacedName {
	return types.NamespacedName{Namespace: key.Namespace, Name: key.Rule}
}

// setNode takes all targets of a node as they are in its assignment now.
func (o *observations) setNode(node string, all []resolved, delivered, reachable bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.nodes[node]
	if len(all) == 0 {
		delete(o.nodes, node)
		return
	}
	if before == nil {
		before = &observedNode{}
	}
	now := &observedNode{delivered, reachable, make(map[tunnel.StreamKey]*observedTarget, len(all))}
	o.nodes[node] = now
	for i := range all {
		r := &all[i]
		key := r.target.Key(node)
		target := &observedTarget{ruleUID: r.target.RuleUID, generation: r.generation, problem: r.problem, doubt: r.doubt}
		old := before.targets[key]
		if old != nil && old.ruleUID == target.ruleUID {
			target.stream = old.stream
		}
		now.targets[key] = target
		switch {
		case old == nil || !old.sameAssignment(target) || now.delivered && !before.delivered || now.reachable != before.reachable:
			o.touch(ruleOf(key), gatherTime)
		case now.delivered != before.delivered:
			o.touch(ruleOf(key), confirmTime)
		}
	}
}

func (t *observedTarget) sameAssignment(other *observedTarget) bool {
	return sameProblem(t.problem, other.problem) && sameProblem(t.doubt, other.doubt) && t.ruleUID == other.ruleUID && t.generation == other.generation
}

// setStreams takes what streams do. Those of targets that do not exist are ignored.
func (o *observations) setStreams(states assignment.StreamStates) {
	o.mu.Lock()
	defer o.mu.Unlock()
	told := make(map[tunnel.StreamKey]bool, len(states.Streams))
	for i := range states.Streams {
		s := &states.Streams[i]
		told[s.Key] = true
		node := o.nodes[s.Key.Node]
		if node == nil {
			continue
		}
		t := node.targets[s.Key]
		if t == nil || t.ruleUID != s.RuleUID || t.stream != nil && sameState(t.stream, s) {
			continue
		}
		t.stream = s
		o.touch(ruleOf(s.Key), 0) // CloudDataStream has gathered already
	}
	if !states.Full {
		return
	}
	for _, node := range o.nodes {
		for key, t := range node.targets {
			if t.stream != nil && !told[key] {
				t.stream = nil
				o.touch(ruleOf(key), 0)
			}
		}
	}
}

func sameState(a, b *assignment.StreamState) bool {
	return a.State == b.State && a.Reason == b.Reason && a.Message == b.Message && a.Viewers == b.Viewers && slices.Equal(a.Codecs, b.Codecs)
}

// observation is all that is known of one target.
type observation struct {
	spec      *streamrules.StreamTarget
	delivered bool
	reachable bool
	problem   *problem
	doubt     *problem
	stream    *assignment.StreamState // never changed, nil if nothing is known
}

// of returns the targets of a rule, each (node, path) once. It reports false while a node's assignment does not follow
// from this generation of the rule yet: the rule is touched when it does.
func (o *observations) of(rule *streamrules.StreamRule) ([]observation, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []observation
	seen := make(map[tunnel.StreamKey]bool, len(rule.Spec.Targets))
	for i := range rule.Spec.Targets {
		spec := &rule.Spec.Targets[i]
		name := spec.TargetResource.NodeName
		key := tunnel.StreamKey{Node: name, Namespace: rule.Namespace, Rule: rule.Name, Path: spec.TargetResource.Path}
		if seen[key] {
			continue
		}
		seen[key] = true
		if !isNodeName(name) {
			out = append(out, observation{spec: spec, problem: &problem{reasonInvalidTarget, "node_name is not the name of a node"}})
			continue
		}
		node := o.nodes[name]
		if node == nil {
			return nil, false
		}
		t := node.targets[key]
		if t == nil || t.ruleUID != string(rule.UID) || t.generation != rule.Generation {
			return nil, false
		}
		out = append(out, observation{spec, node.delivered, node.reachable, t.problem, t.doubt, t.stream})
	}
	return out, true
}
