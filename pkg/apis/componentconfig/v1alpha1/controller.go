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
}

// NewDefaultStreamRuleController returns the section with every default filled in, disabled.
func NewDefaultStreamRuleController() *StreamRuleController {
	return &StreamRuleController{
		ResendMin: duration(time.Second),
		ResendMax: duration(60 * time.Second),
	}
}

// Validate reports every field that cannot work, by its path.
func (c *StreamRuleController) Validate(path *field.Path) field.ErrorList {
	if !c.Enable {
		return nil
	}
	return backoff(path, "resend", c.ResendMin, c.ResendMax)
}
