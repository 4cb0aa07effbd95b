// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StreamRule binds StreamRuleEndpoints of its namespace to nodes and paths. Each target is watched at
// /node/<node_name>/<rule><path>.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=sr,categories=kubeedge
// +kubebuilder:printcolumn:name="Targets",type=integer,JSONPath=`.status.desiredTargets`
// +kubebuilder:printcolumn:name="Connected",type=integer,JSONPath=`.status.connectedTargets`
// +kubebuilder:printcolumn:name="Streaming",type=integer,JSONPath=`.status.streamingTargets`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type StreamRule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   StreamRuleSpec   `json:"spec"`
	Status StreamRuleStatus `json:"status,omitempty"`
}

// StreamRuleSpec is the desired state of a rule.
type StreamRuleSpec struct {
	// The uniqueness rule joins node and path, which is unambiguous because a node name has no '/'. One comparison
	// instead of two for each of 128 by 128 pairs keeps the largest rule well within the cost that the API server
	// allows at run time.

	// targets are the streams of this rule. A rule holds at most 128 of them: make another rule for more.
	//
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:XValidation:rule="self.size() > 0",message="targets must have at least one entry: an endpointRef and a targetResource with node_name and path"
	// +kubebuilder:validation:XValidation:rule="[self.map(t, t.targetResource.node_name + t.targetResource.path)].all(keys, keys.all(a, keys.exists_one(b, a == b)))",message="two targets have the same node_name and path: give each target of a node a path of its own"
	Targets []StreamTarget `json:"targets"`
}

// StreamTarget binds one endpoint to a node and a path.
type StreamTarget struct {
	// endpointRef is the name of a StreamRuleEndpoint in the same namespace. It may be created later than the rule.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="endpointRef must be the name of a StreamRuleEndpoint: lower case letters, digits, '-' and '.', beginning and ending with a letter or digit"
	EndpointRef string `json:"endpointRef"`

	// targetResource says which node reads the endpoint and under which path it is watched.
	TargetResource TargetResource `json:"targetResource"`
}

// TargetResource is the place of a stream: a node and a path on it.
type TargetResource struct {
	// node_name is the name of the edge node that can reach the endpoint.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="node_name must be the name of a node: lower case letters, digits, '-' and '.', beginning and ending with a letter or digit"
	NodeName string `json:"node_name"`

	// path is the last part of the URL under which the stream is watched, for example /camera-001.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="path must begin with '/', for example /camera-001"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('/')",message="path must name something and not end with '/', for example /camera-001"
	// +kubebuilder:validation:XValidation:rule="!self.contains('//')",message="path must not contain '//': use a single '/' between its parts"
	// +kubebuilder:validation:XValidation:rule="!self.matches('(^|/)[.][.]?(/|$)')",message="path must not contain '.' or '..' between slashes: write the path out"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._~/-]*$')",message="path may contain only letters, digits, '-', '.', '_' and '~' between slashes"
	Path string `json:"path"`
}

// StreamRuleList is a list of StreamRules.
//
// +kubebuilder:object:root=true
type StreamRuleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []StreamRule `json:"items"`
}
