// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the first version of the stream rule API: a StreamRuleEndpoint describes a data source, a
// StreamRule binds endpoints to a node and a path under which viewers read them.
//
// +kubebuilder:object:generate=true
// +groupName=streamrules.kubeedge.io
package v1alpha1
