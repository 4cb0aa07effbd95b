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

func sameProblem(a, b *problem) bool { return a == b || a != nil && b != nil && *a == *b }

// tooMany is the problem of a target for which its node has no room.
var tooMany = &problem{
	reasonNodeFull, fmt.Sprintf("the node has more than %d targets, and older rules come first", assignment.MaxTargets),
}

// resolved is one target of a node, of this generation of its rule.
type resolved struct {
	target     assignment.Target
	generation int64
	// credentials are those that the target needs; they are for CloudDataStream only.
	credentials tunnel.Credentials
	problem     *problem // nil if the target can be served
	// doubt is why it is not known whether it can be. It is served: a node that has what it needs goes on.
	doubt *problem
}

func (r *resolved) entry() assignment.Entry {
	t := &r.target
	e := assignment.Entry{Namespace: t.Namespace, Rule: t.Rule, RuleUID: t.RuleUID, Path: t.Path, Endpoint: t.Endpoint}
	if r.problem != nil {
		e.Problem = r.problem.message
	} else {
		e.Credentials, e.CredentialsUnknown = r.credentials, r.doubt != nil
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

// resolve returns all targets of a node, and those that its assignment has: all but those that are known not to be fit for service. It reports false
// during the first try to read a Secret that one of them needs.
func (r *rules) resolve(node string) (all []resolved, targets []assignment.Target, known bool) {
	found := r.ofNode(node)
	slices.SortFunc(found, func(a, b *streamrules.StreamRule) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	// targets stays nil if there are none: the revision of nothing must always be the same.
	sources := &sources{endpoints: r.endpoints, secrets: r.secrets, known: make(map[types.NamespacedName]source)}
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
			found := sources.complete(&target, key)
			problem := found.problem
			if problem == nil && len(targets) == assignment.MaxTargets {
				problem = tooMany
			}
			if problem == nil {
				targets = append(targets, target)
			}
			all = append(all, resolved{target, rule.Generation, found.credentials, problem, found.doubt})
		}
	}
	return all, targets, !sources.reading
}

// source is what an endpoint says, or the problem with it.
type source struct {
	spec        *streamrules.StreamRuleEndpointSpec
	guarded     bool               // it needs credentials
	credentials tunnel.Credentials // none if there is a doubt
	problem     *problem
	doubt       *problem
}

// sources reads each endpoint once, so that all targets of an assignment see the same version of it.
type sources struct {
	endpoints listers.StreamRuleEndpointLister
	secrets   *secrets
	reading   bool // there is a Secret whose first reading has not ended
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
	secret, needed := secretOf(endpoint)
	if !needed {
		return source{spec: &endpoint.Spec}
	}
	state, tried := s.secrets.get(secret)
	s.reading = s.reading || !tried
	switch {
	case state.unknown:
		return source{spec: &endpoint.Spec, guarded: true, doubt: state.problem}
	case state.credentials.IsZero():
		return source{problem: state.problem}
	}
	u, _ := url.Parse(endpoint.Spec.URL) // it is valid
	return source{spec: &endpoint.Spec, guarded: true, credentials: state.credentials.For(tunnel.Origin(u))}
}

// problemOf returns what is wrong with an endpoint, whether its targets are served or not. It reports false during the first try to read its
// Secret.
func (r *rules) problemOf(e *streamrules.StreamRuleEndpoint) (p *problem, known bool) {
	if err := validate(&e.Spec); err != nil {
		return &problem{reasonInvalidEndpoint, err.Error()}, true
	}
	secret, needed := secretOf(e)
	if !needed {
		return nil, true
	}
	state, tried := r.secrets.get(secret)
	return state.problem, tried
}

// secretOf names the Secret that an endpoint refers to, if it does.
func secretOf(e *streamrules.StreamRuleEndpoint) (types.NamespacedName, bool) {
	if e.Spec.CredentialsSecretRef == nil {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: e.Namespace, Name: e.Spec.CredentialsSecretRef.Name}, true
}

// complete adds to the target what its endpoint says, which it returns: no node is told the credentials that way.
func (s *sources) complete(t *assignment.Target, key tunnel.StreamKey) source {
	if err := key.Validate(); err != nil {
		return source{problem: &problem{reasonInvalidTarget, err.Error()}}
	}
	found := s.get(types.NamespacedName{Namespace: t.Namespace, Name: t.Endpoint})
	if found.problem != nil {
		return found
	}
	t.Protocol = string(streamrules.ProtocolWebSocket)
	t.URL, t.Properties = found.spec.URL, found.spec.Properties
	t.NeedsCredentials = found.guarded
	return found
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
