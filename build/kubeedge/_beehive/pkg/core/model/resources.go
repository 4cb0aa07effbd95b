// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package model

// Resource types that KubeEdge v1.20 has and published beehive has not.
const (
	ResourceTypeEvent    = "event"
	ResourceTypeSaAccess = "serviceaccountaccess"
	ResourceTypeCSR      = "certificatesigningrequest"
	ResourceTypeK8sCA    = "k8s/ca.crt"
)
