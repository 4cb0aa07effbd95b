// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The printer columns leave the URL out on purpose: it may contain a password.

// StreamRuleEndpoint is a data source that a node can reach, for example a camera.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=sre,categories=kubeedge
// +kubebuilder:printcolumn:name="Protocol",type=string,JSONPath=`.spec.protocol`
// +kubebuilder:printcolumn:name="Credentials",type=string,JSONPath=`.spec.credentialsSecretRef.name`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type StreamRuleEndpoint struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   StreamRuleEndpointSpec   `json:"spec"`
	Status StreamRuleEndpointStatus `json:"status,omitempty"`
}

// StreamRuleEndpointSpec says how the data source is read.
//
// +kubebuilder:validation:XValidation:rule="!has(self.credentialsSecretRef) || !self.url.matches('^[^/?#]*//[^/?#]*@')",message="url must not contain a user name or password when credentialsSecretRef is set: remove the part before the @ from url, or remove credentialsSecretRef"
type StreamRuleEndpointSpec struct {
	// protocol is the transport between the edge node and the cloud. The protocol of the data source itself is the
	// scheme of url.
	//
	// +optional
	// +kubebuilder:default=websocket
	Protocol Protocol `json:"protocol,omitempty"`

	// The schemes are those of the edge's registry of sources: a test compares the two.

	// url is the address of the data source as the node sees it: scheme://host[:port][/path][?query], where scheme is
	// rtsp, or rtsps for RTSP over TLS. A user name and password may be part of it, but anyone who can read this object can
	// read them: prefer credentialsSecretRef.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(rtsp|rtsps)://')",message="url must begin with rtsp:// or rtsps://, in lower case, for example rtsp://192.0.2.10/stream"
	// +kubebuilder:validation:XValidation:rule="!self.matches('://') || self.matches('^[^/?#]*://([^/?#]*@)?([^][/?#@:]+|[[][0-9A-Fa-f:.]+(%25[A-Za-z0-9._~-]+)?[]])(:[0-9]{1,5})?([/?#]|$)')",message="url must name a host after ://, with an optional port, for example rtsp://192.0.2.10:554/stream; percent-encode special characters of a password, or keep it in the Secret of credentialsSecretRef"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[[:space:][:cntrl:]]')",message="url must not contain spaces or control characters: percent-encode them, for example %20"
	URL string `json:"url"`

	// properties are options of the data source's protocol. Those that it does not know are passed over. They are readable
	// by anyone who can read this object: no passwords here. For rtsp and rtsps:
	//
	// transport is tcp or udp. Without it TCP is tried first, and UDP if the camera refuses TCP.
	//
	// caCertificate is the PEM of the authorities that may have signed the certificate of an rtsps camera, instead of the
	// system's.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.size() > 0 && name.size() <= 63)",message="the name of each property must have 1 to 63 characters"
	// +kubebuilder:validation:XValidation:rule="self.all(name, self[name].size() <= 8192)",message="the value of each property must have at most 8192 characters"
	Properties map[string]string `json:"properties,omitempty"`

	// credentialsSecretRef names a Secret of type kubernetes.io/basic-auth that holds the user name and password of
	// the data source.
	//
	// +optional
	CredentialsSecretRef *SecretReference `json:"credentialsSecretRef,omitempty"`
}

// Protocol is a transport between the edge node and the cloud.
//
// +kubebuilder:validation:Enum=websocket
type Protocol string

// ProtocolWebSocket carries each target over a WebSocket of its own.
const ProtocolWebSocket Protocol = "websocket"

// SecretReference names a Secret in the namespace of the object that refers to it.
type SecretReference struct {
	// name of a Secret in the same namespace.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="credentialsSecretRef.name must be the name of a Secret: lower case letters, digits, '-' and '.', beginning and ending with a letter or digit"
	Name string `json:"name"`
}

// StreamRuleEndpointStatus is what the cloud found out about an endpoint.
type StreamRuleEndpointStatus struct {
	// observedGeneration is the metadata.generation that this status describes.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions of the endpoint: Ready, which is False when its credentials cannot be used.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// StreamRuleEndpointList is a list of StreamRuleEndpoints.
//
// +kubebuilder:object:root=true
type StreamRuleEndpointList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []StreamRuleEndpoint `json:"items"`
}
