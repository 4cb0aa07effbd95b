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

// errTooMany is the problem of a target for which its node has no room.
var errTooMany = fmt.Errorf("the node has more than %d targets, and older rules come first", assignment.MaxTargets)

// resolve returns all targets of a node for its directory, and those that can be served for its assignment.
func (r *rules) resolve(node string) ([]assignment.Entry, []assignment.Target) {
	found := r.ofNode(node)
	slices.SortFunc(found, func(a, b *streamrules.StreamRule) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var entries []assignment.Entry
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
			err := sources.complete(&target, key)
			if err == nil && len(targets) == assignment.MaxTargets {
				err = errTooMany
			}
			entry := assignment.Entry{
				Namespace: target.Namespace, Rule: target.Rule, RuleUID: target.RuleUID, Path: target.Path, Endpoint: target.Endpoint,
			}
			if err != nil {
				entry.Problem = err.Error()
			} else {
				targets = append(targets, target)
			}
			entries = append(entries, entry)
		}
	}
	return entries, targets
}

// source is what an endpoint says, or the problem with it.
type source struct {
	spec *streamrules.StreamRuleEndpointSpec
	err  error
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
		return source{err: fmt.Errorf("StreamRuleEndpoint %s does not exist", name)}
	case err != nil:
		return source{err: fmt.Errorf("reading StreamRuleEndpoint %s: %w", name, err)}
	}
	if err := validate(&endpoint.Spec); err != nil {
		return source{err: fmt.Errorf("StreamRuleEndpoint %s: %w", name, err)}
	}
	return source{spec: &endpoint.Spec}
}

// complete adds to the target what its endpoint says. An error is a sentence for the user and never quotes the URL,
// which may hold a password.
func (s *sources) complete(t *assignment.Target, key tunnel.StreamKey) error {
	if err := key.Validate(); err != nil {
		return err
	}
	found := s.get(types.NamespacedName{Namespace: t.Namespace, Name: t.Endpoint})
	if found.err != nil {
		return found.err
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
