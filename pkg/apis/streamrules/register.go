// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package streamrules names the API group of StreamRule and StreamRuleEndpoint.
package streamrules

// GroupName is the API group of the stream rule types.
const GroupName = "streamrules.kubeedge.io"
