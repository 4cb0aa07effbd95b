// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"net/http"
	"path"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

const (
	group            = "streamrules.kubeedge.io"
	resource         = "streamrules"
	defaultNamespace = "default"
	ticketSuffix     = "/ticket"
	profiles         = "/debug/pprof/" // the index, whose links need the slash; what it lists is below
	listVerb         = "list"
)

// action is what a request asks for, and so which right it needs.
type action int

const (
	public      action = iota // no right at all: health, and files that are the same in every installation
	watch                     // get streamrules/stream of the rule
	control                   // update streamrules/control of the rule
	ticket                    // as watch or control: a ticket for that
	list                      // list streamrules, in each namespace that is shown
	nonResource               // get on the path
)

// target is what a request is for.
type target struct {
	action action
	stream tunnel.StreamKey // of watch, control and ticket; its end may be missing
	path   string           // of nonResource
}

// classify finds out what a request is for. What it does not know is refused before the router sees it, so a new route has to be
// named here. Only clean paths are known: no router can then read them otherwise.
func classify(method, p string) (target, bool) {
	if path.Clean(p) != p && p != profiles {
		return target{}, false
	}
	switch p {
	case "/healthz", "/readyz":
		return target{action: public}, true
	case "/streams":
		return target{action: list}, true
	case "/metrics":
		return target{action: nonResource, path: p}, true
	}
	if strings.HasPrefix(p, "/assets/") {
		return target{action: public}, true
	}
	if strings.HasPrefix(p, profiles) {
		return target{action: nonResource, path: p}, true
	}
	key, ok := parseStream(p)
	if !ok {
		return target{}, false
	}
	t := target{action: control, stream: key} // a method that nobody knows needs the greater right
	switch method {
	case http.MethodGet, http.MethodHead:
		t.action = watch
	case http.MethodPost:
		if stream, ok := strings.CutSuffix(key.Path, ticketSuffix); ok && stream != "" {
			t.action, t.stream.Path = ticket, stream
		}
	}
	return t, true
}

// parseStream reads /node/{node}/{rule}/{path}, with /namespaces/{namespace} in front or without. Rule and path may be missing: such a
// URL is answered with what there is, to those who may see it.
func parseStream(p string) (tunnel.StreamKey, bool) {
	key := tunnel.StreamKey{Namespace: defaultNamespace}
	if rest, ok := strings.CutPrefix(p, "/namespaces/"); ok {
		if key.Namespace, p, ok = strings.Cut(rest, "/"); !ok {
			return key, false
		}
		p = "/" + p
	}
	rest, ok := strings.CutPrefix(p, "/node/")
	if !ok {
		return key, false
	}
	key.Node, rest, _ = strings.Cut(rest, "/")
	key.Rule, key.Path, _ = strings.Cut(rest, "/")
	key.Path = "/" + key.Path
	return key, true
}

// right is what the API server is asked about a user.
type right struct {
	verb, subresource, namespace, rule string
	path                               string // not of a resource, if it is set
}

// right returns what t needs.
func (t target) right() right {
	switch t.action {
	case control:
		return right{verb: "update", subresource: "control", namespace: t.stream.Namespace, rule: t.stream.Rule}
	case nonResource:
		return right{verb: "get", path: t.path}
	default:
		return right{verb: "get", subresource: "stream", namespace: t.stream.Namespace, rule: t.stream.Rule}
	}
}

func (r right) review(u *User) authorizationv1.SubjectAccessReviewSpec {
	spec := authorizationv1.SubjectAccessReviewSpec{User: u.Username, UID: u.UID, Groups: u.Groups}
	for name, values := range u.Extra {
		if spec.Extra == nil {
			spec.Extra = make(map[string]authorizationv1.ExtraValue, len(u.Extra))
		}
		spec.Extra[name] = authorizationv1.ExtraValue(values)
	}
	if r.path != "" {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Verb: r.verb, Path: r.path}
		return spec
	}
	spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
		Verb: r.verb, Group: group, Resource: resource, Subresource: r.subresource, Namespace: r.namespace, Name: r.rule,
	}
	return spec
}
