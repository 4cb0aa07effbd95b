// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package config holds the configuration of the edgeDataStream module.
package config

import (
	"sync"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

// Config is the module's configuration.
var Config Configure

var once sync.Once

// Configure is the section of edgecore.yaml.
type Configure struct {
	v1alpha1.EdgeDataStream
}

// InitConfigure sets Config; only the first call counts.
func InitConfigure(cfg *v1alpha1.EdgeDataStream) {
	once.Do(func() { Config = Configure{EdgeDataStream: *cfg} })
}
