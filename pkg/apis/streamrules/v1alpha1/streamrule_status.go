// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StreamRuleStatus is what the cloud and the nodes report about a rule.
type StreamRuleStatus struct {
	// observedGeneration is the metadata.generation that this status describes.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions of the rule: Ready, EndpointsResolved and Delivered.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// desiredTargets is the number of targets in the spec.
	//
	// +optional
	DesiredTargets int32 `json:"desiredTargets"`

	// connectedTargets is the number of targets whose tunnel to the cloud is up.
	//
	// +optional
	ConnectedTargets int32 `json:"connectedTargets"`

	// streamingTargets is the number of targets that send to the cloud now.
	//
	// +optional
	StreamingTargets int32 `json:"streamingTargets"`

	// targets holds the state of each target.
	//
	// +optional
	// +listType=map
	// +listMapKey=node
	// +listMapKey=path
	// +kubebuilder:validation:MaxItems=128
	Targets []StreamTargetStatus `json:"targets,omitempty"`
}

// StreamTargetStatus is the state of one target.
type StreamTargetStatus struct {
	// node is the node_name of the target.
	//
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node"`

	// path of the target.
	//
	// +kubebuilder:validation:MaxLength=128
	Path string `json:"path"`

	// endpoint is the endpointRef of the target.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Endpoint string `json:"endpoint,omitempty"`

	// state is one of idle, connecting, streaming, paused, failed, away, endpoint-missing. Later versions may add
	// others.
	State TargetState `json:"state"`

	// reason is one CamelCase word for programs that says why the target is in this state.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`

	// message says the same for people. It never contains credentials.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// codecs of the tracks that the data source offers, as in RFC 6381, for example avc1.42c01e and mp4a.40.2.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Codecs []string `json:"codecs,omitempty"`

	// viewers is the number of viewers now.
	//
	// +optional
	Viewers int32 `json:"viewers"`

	// lastTransitionTime is when state last changed.
	//
	// +optional
	LastTransitionTime *metav1.Time `json:"lastTransitionTime,omitempty"`
}

// TargetState is the state of a target.
//
// +kubebuilder:validation:MaxLength=63
type TargetState string

const (
	// TargetIdle means: the tunnel is open, nothing is pulled from the data source.
	TargetIdle TargetState = "idle"
	// TargetConnecting means: the node connects to the data source.
	TargetConnecting TargetState = "connecting"
	// TargetStreaming means: data flows to the cloud.
	TargetStreaming TargetState = "streaming"
	// TargetPaused means: the data source stays connected, nothing is sent to the cloud.
	TargetPaused TargetState = "paused"
	// TargetFailed means: the data source cannot be read; the node tries again.
	TargetFailed TargetState = "failed"
	// TargetAway means: the target has no tunnel.
	TargetAway TargetState = "away"
	// TargetEndpointMissing means: the StreamRuleEndpoint, or the Secret that it refers to, does not exist.
	TargetEndpointMissing TargetState = "endpoint-missing"
)

// Connected reports whether a target in this state has a tunnel to the cloud.
func (s TargetState) Connected() bool {
	switch s {
	case TargetIdle, TargetConnecting, TargetStreaming, TargetPaused, TargetFailed:
		return true
	default:
		return false
	}
}

// Condition types of a StreamRule. A StreamRuleEndpoint has Ready only.
const (
	// ConditionReady is True when every target can be watched: its endpoint exists, its node runs the latest
	// assignment, its tunnel is up, and its data source has not failed.
	ConditionReady = "Ready"
	// ConditionEndpointsResolved is True when every target's endpoint, and the Secret that it refers to, exist.
	ConditionEndpointsResolved = "EndpointsResolved"
	// ConditionDelivered is True when every node of the rule reports the revision of its latest assignment.
	ConditionDelivered = "Delivered"
)

// Reasons of conditions and of target states.
const (
	// ReasonReady: all is well.
	ReasonReady = "Ready"
	// ReasonResolved: every endpoint exists.
	ReasonResolved = "Resolved"
	// ReasonEndpointMissing: a StreamRuleEndpoint does not exist.
	ReasonEndpointMissing = "EndpointMissing"
	// ReasonCredentialsMissing: a Secret does not exist, is of another type than kubernetes.io/basic-auth, or lacks a
	// key.
	ReasonCredentialsMissing = "CredentialsMissing"
	// ReasonCredentialsForbidden: cloudcore may not read a Secret.
	ReasonCredentialsForbidden = "CredentialsForbidden"
	// ReasonCredentialsUnknown: nobody could say so far what a Secret holds. Nodes go on with what they have.
	ReasonCredentialsUnknown = "CredentialsUnknown"
	// ReasonCredentialsInvalid: the user name or the password in a Secret cannot be used.
	ReasonCredentialsInvalid = "CredentialsInvalid"
	// ReasonDelivered: the nodes run their latest assignment.
	ReasonDelivered = "Delivered"
	// ReasonDelivering: a node has yet to report its latest assignment.
	ReasonDelivering = "Delivering"
	// ReasonNodeAway: a target has no tunnel.
	ReasonNodeAway = "NodeAway"
	// ReasonSourceFailed: a data source cannot be read.
	ReasonSourceFailed = "SourceFailed"
)
