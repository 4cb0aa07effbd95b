// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package assignment is the desired state of one node, as the cloud computes it and the edge runs it,
// and the beehive messages that carry it.
package assignment

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Names of the beehive modules.
const (
	ControllerModule = "streamrulecontroller"
	CloudModule      = "clouddatastream"
	EdgeModule       = "edgedatastream"
)

// Routing of the message that carries an Assignment. CloudHub finds the node in the resource and trims
// the part in front of Resource before the edge sees it.
const (
	Group     = "user"
	Resource  = "datastream/assignment"
	Operation = "update"
)

// NodeResource is the resource of a message to that node.
func NodeResource(node string) string { return "node/" + node + "/" + Resource }

// MaxTargets bounds the targets of one node.
const MaxTargets = 1024

// Target is one stream that a node serves.
type Target struct {
	Namespace string `json:"namespace"`
	Rule      string `json:"rule"`
	RuleUID   string `json:"ruleUID"`
	Path      string `json:"path"`
	Endpoint  string `json:"endpoint"`
	// Protocol is the cloud-edge transport.
	Protocol string `json:"protocol"`
	// URL is the source; it may hold credentials, so it is never logged as it is.
	URL        string            `json:"url"`
	Properties map[string]string `json:"properties,omitempty"`
	// NeedsCredentials says that the source is not to be read without the credentials that come over the tunnel. They themselves are
	// never in an assignment: that passes through CloudHub, and the node stores it.
	NeedsCredentials bool `json:"needsCredentials,omitempty"`
}

// String leaves out what may hold credentials: beehive prints messages that it cannot deliver.
func (t Target) String() string { return t.Namespace + "/" + t.Rule + t.Path + " of " + t.Endpoint }

// GoString is String.
func (t Target) GoString() string { return t.String() }

// Key names the target's stream on a node.
func (t *Target) Key(node string) tunnel.StreamKey {
	return tunnel.StreamKey{Node: node, Namespace: t.Namespace, Rule: t.Rule, Path: t.Path}
}

// Assignment is everything that a node shall serve.
type Assignment struct {
	Node     string   `json:"node"`
	Revision string   `json:"revision"`
	Targets  []Target `json:"targets"`
}

// New makes a node's assignment. The revision is a hash of its content, so equal targets in any
// order have equal revisions.
func New(node string, targets []Target) Assignment {
	targets = append([]Target{}, targets...) // none at all is [] and never null, so that it has one hash
	slices.SortFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Path, b.Path))
	})
	a := Assignment{Node: node, Targets: targets}
	a.Revision = a.hash()
	return a
}

func (a *Assignment) hash() string {
	b, err := json.Marshal(a.Targets)
	if err != nil { // strings and maps of strings always marshal
		panic(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Decode reads an assignment from JSON and validates it.
func Decode(b []byte) (Assignment, error) {
	var a Assignment
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("decoding assignment: %w", err)
	}
	if err := a.Validate(); err != nil {
		return a, fmt.Errorf("assignment of node %.64q: %w", a.Node, err)
	}
	return a, nil
}

// Validate checks the assignment as a whole. A target that only this node's registries can judge
// (an unknown scheme, say) is not an error here: the others must run.
func (a *Assignment) Validate() error {
	if a.Node == "" || a.Revision == "" {
		return fmt.Errorf("node and revision are required")
	}
	if len(a.Targets) > MaxTargets {
		return fmt.Errorf("%d targets, at most %d are allowed", len(a.Targets), MaxTargets)
	}
	seen := make(map[tunnel.StreamKey]bool, len(a.Targets))
	for i := range a.Targets {
		t := &a.Targets[i]
		key := t.Key(a.Node)
		if err := key.Validate(); err != nil {
			return fmt.Errorf("target %d: %w", i, err)
		}
		if seen[key] {
			return fmt.Errorf("target %d: %s is there twice", i, key)
		}
		seen[key] = true
		if _, err := url.Parse(t.URL); err != nil {
			return fmt.Errorf("target %d: the URL cannot be parsed", i) // the error would quote it
		}
	}
	return nil
}
