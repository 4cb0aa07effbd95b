// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// StreamRuleController is modules.streamRuleController of cloudcore.yaml.
type StreamRuleController struct {
	// Enable turns the module on. Default false.
	Enable bool `json:"enable"`
	// ResendMin and ResendMax bound the wait before a node that has not confirmed its assignment is sent it
	// again. ResendMin is also the least time between any two assignments to one node. Defaults 1s, 60s.
	ResendMin metav1.Duration `json:"resendMin"`
	ResendMax metav1.Duration `json:"resendMax"`
	// Nodes says which nodes are let in, beside what their certificates say: Any, unless the Node object was deleted since cloudcore
	// started, or only those that are Registered: there is a Node object now. Nodes whose edgecore runs without edged have none.
	// Default Any; the manifests and the Helm chart say Registered.
	Nodes NodePolicy `json:"nodes"`
}

// NodePolicy is which nodes are let in.
type NodePolicy string

// The policies.
const (
	NodesAny        NodePolicy = "Any"
	NodesRegistered NodePolicy = "Registered"
)

// NewDefaultStreamRuleController returns the section with every default filled in, disabled.
func NewDefaultStreamRuleController() *StreamRuleController {
	return &StreamRuleController{
		ResendMin: duration(time.Second),
		ResendMax: duration(60 * time.Second),
		Nodes:     NodesAny,
	}
}

// Validate reports every field that cannot work, by its path.
func (c *StreamRuleController) Validate(path *field.Path) field.ErrorList {
	if !c.Enable {
		return nil
	}
	errs := backoff(path, "resend", c.ResendMin, c.ResendMax)
	if c.Nodes != NodesAny && c.Nodes != NodesRegistered {
		errs = append(errs, field.NotSupported(path.Child("nodes"), c.Nodes, []NodePolicy{NodesAny, NodesRegistered}))
	}
	return errs
}
