// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	listers "github.com/kubeedge/datastream/pkg/client/listers/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Reasons of problems that the API has no constant for.
const (
	reasonInvalidEndpoint = "InvalidEndpoint" // as the nodes call it
	reasonInvalidTarget   = "InvalidTarget"
	reasonNodeFull        = "NodeFull"
)

// problem is why a target cannot be served: a reason for programs, and a sentence for people that never quotes the
// URL, which may hold a password.
type problem struct{ reason, message string }

// tooMany is the problem of a target for which its node has no room.
var tooMany = &problem{
	reasonNodeFull, fmt.Sprintf("the node has more than %d targets, and older rules come first", assignment.MaxTargets),
}

// resolved is one target of a node, of this generation of its rule.
type resolved struct {
	target     assignment.Target
	generation int64
	problem    *problem // nil if the target can be served
}

func (r *resolved) entry() assignment.Entry {
	t := &r.target
	e := assignment.Entry{Namespace: t.Namespace, Rule: t.Rule, RuleUID: t.RuleUID, Path: t.Path, Endpoint: t.Endpoint}
	if r.problem != nil {
		e.Problem = r.problem.message
	}
	return e
}

// directory is what CloudDataStream has to know of a node's targets.
func directory(all []resolved) []assignment.Entry {
	var entries []assignment.Entry
	for i := range all {
		entries = append(entries, all[i].entry())
	}
	return entries
}

// resolve returns all targets of a node, and those that can be served for its assignment.
func (r *rules) resolve(node string) ([]resolved, []assignment.Target) {
	found := r.ofNode(node)
	slices.SortFunc(found, func(a, b *streamrules.StreamRule) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var all []resolved
	var targets []assignment.Target // nil if none: the revision of nothing must always be the same
	sources := &sources{endpoints: r.endpoints, known: make(map[types.NamespacedName]source)}
	seen := sets.New[tunnel.StreamKey]()
	for _, rule := range found {
		for i := range rule.Spec.Targets {
			t := &rule.Spec.Targets[i]
			target := assignment.Target{
				Namespace: rule.Namespace, Rule: rule.Name, RuleUID: string(rule.UID),
				Path: t.TargetResource.Path, Endpoint: t.EndpointRef,
			}
			key := target.Key(node)
			if t.TargetResource.NodeName != node || seen.Has(key) {
				continue
			}
			seen.Insert(key)
			problem := sources.complete(&target, key)
			if problem == nil && len(targets) == assignment.MaxTargets {
				problem = tooMany
			}
			if problem == nil {
				targets = append(targets, target)
			}
			all = append(all, resolved{target, rule.Generation, problem})
		}
	}
	return all, targets
}

// source is what an endpoint says, or the problem with it.
type source struct {
	spec    *streamrules.StreamRuleEndpointSpec
	problem *problem
}

// sources reads each endpoint once, so that all targets of an assignment see the same version of it.
type sources struct {
	endpoints listers.StreamRuleEndpointLister
	known     map[types.NamespacedName]source
}

func (s *sources) get(name types.NamespacedName) source {
	found, ok := s.known[name]
	if !ok {
		found = s.read(name)
		s.known[name] = found
	}
	return found
}

func (s *sources) read(name types.NamespacedName) source {
	endpoint, err := s.endpoints.StreamRuleEndpoints(name.Namespace).Get(name.Name)
	switch {
	case apierrors.IsNotFound(err):
		return source{problem: &problem{streamrules.ReasonEndpointMissing, fmt.Sprintf("StreamRuleEndpoint %s does not exist", name)}}
	case err != nil:
		return source{problem: &problem{streamrules.ReasonEndpointMissing, fmt.Sprintf("reading StreamRuleEndpoint %s: %v", name, err)}}
	}
	if err := validate(&endpoint.Spec); err != nil {
		return source{problem: &problem{reasonInvalidEndpoint, fmt.Sprintf("StreamRuleEndpoint %s: %v", name, err)}}
	}
	return source{spec: &endpoint.Spec}
}

// complete adds to the target what its endpoint says.
func (s *sources) complete(t *assignment.Target, key tunnel.StreamKey) *problem {
	if err := key.Validate(); err != nil {
		return &problem{reasonInvalidTarget, err.Error()}
	}
	found := s.get(types.NamespacedName{Namespace: t.Namespace, Name: t.Endpoint})
	if found.problem != nil {
		return found.problem
	}
	// A credentialsSecretRef is not resolved yet: the node reads the source without credentials.
	t.Protocol = string(streamrules.ProtocolWebSocket)
	t.URL, t.Properties = found.spec.URL, found.spec.Properties
	return nil
}

// validate checks what no node could serve. Whether a node knows the URL's scheme is the node's to say.
func validate(spec *streamrules.StreamRuleEndpointSpec) error {
	switch spec.Protocol {
	case streamrules.ProtocolWebSocket, "": // the API server's default
	default:
		return fmt.Errorf("protocol %.63q is not supported", spec.Protocol)
	}
	u, err := url.Parse(spec.URL)
	switch {
	case err != nil:
		return errors.New("its URL cannot be parsed")
	case u.Scheme == "" || u.Host == "":
		return errors.New("its URL must begin with scheme://host")
	}
	return nil
}
