// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package target names the streams of rules, as people write them on a command line.
package target

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Ref is what RULE[/PATH] names: one stream, or all of a rule.
type Ref struct {
	Rule string
	Path string // with its leading slash; empty: all
	Node string // empty: any
}

// Parse reads RULE[/PATH].
func Parse(text, node string) (Ref, error) {
	rule, path, found := strings.Cut(text, "/")
	if rule == "" || found && path == "" {
		return Ref{}, fmt.Errorf("%q is not RULE or RULE/PATH, such as gate/camera", text)
	}
	r := Ref{Rule: rule, Node: node}
	if found {
		r.Path = "/" + path
	}
	return r, nil
}

// Target is one stream of a rule.
type Target struct {
	Key      tunnel.StreamKey
	Endpoint string
	// Status is what the rule's status says of it; nil if it says nothing.
	Status *v1alpha1.StreamTargetStatus
}

// String is RULE/PATH.
func (t *Target) String() string { return t.Key.Rule + t.Key.Path }

// Of returns the streams of a rule, in their order.
func Of(rule *v1alpha1.StreamRule) []Target {
	targets := make([]Target, 0, len(rule.Spec.Targets))
	for i := range rule.Spec.Targets {
		spec := &rule.Spec.Targets[i]
		t := Target{
			Key:      tunnel.StreamKey{Node: spec.TargetResource.NodeName, Namespace: rule.Namespace, Rule: rule.Name, Path: spec.TargetResource.Path},
			Endpoint: spec.EndpointRef,
		}
		for j := range rule.Status.Targets {
			if s := &rule.Status.Targets[j]; s.Node == t.Key.Node && s.Path == t.Key.Path {
				t.Status = s
			}
		}
		targets = append(targets, t)
	}
	return targets
}

// ErrNoPath means that a rule has no such stream.
var ErrNoPath = errors.New("no such path")

// Select returns the streams of a rule that r names, at least one.
func (r Ref) Select(rule *v1alpha1.StreamRule) ([]Target, error) {
	all := Of(rule)
	selected := slices.DeleteFunc(slices.Clone(all), func(t Target) bool {
		return r.Path != "" && t.Key.Path != r.Path || r.Node != "" && t.Key.Node != r.Node
	})
	if len(selected) > 0 {
		return selected, nil
	}
	at := cmp.Or(r.Path, "any path")
	if r.Node != "" {
		at += " on node " + r.Node
	}
	return nil, fmt.Errorf("%w: StreamRule %s has no target with %s; it has %s", ErrNoPath, rule.Name, at, Names(all))
}

// Names lists streams for people, not too many.
func Names(targets []Target) string {
	const most = 10
	var names []string
	for i := range targets[:min(len(targets), most)] {
		names = append(names, targets[i].String()+" on "+targets[i].Key.Node)
	}
	if len(targets) > most {
		names = append(names, "…")
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}
