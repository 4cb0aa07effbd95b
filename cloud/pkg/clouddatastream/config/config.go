// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package config keeps the configuration of the module CloudDataStream, as each KubeEdge module does.
package config

import (
	"sync"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

var (
	// Config is the module's configuration, set once by InitConfigure.
	Config v1alpha1.CloudDataStream
	once   sync.Once
)

// InitConfigure sets Config. Only the first call counts.
func InitConfigure(c *v1alpha1.CloudDataStream) {
	once.Do(func() { Config = *c })
}
