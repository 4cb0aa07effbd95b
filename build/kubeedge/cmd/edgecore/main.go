// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Command edgecore is KubeEdge's, with the module EdgeDataStream in it.
package main

import (
	"os"

	"github.com/kubeedge/api/apis/componentconfig/edgecore/v1alpha2"
	"github.com/kubeedge/kubeedge/edge/cmd/edgecore/app"
	"k8s.io/component-base/logs"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/build/kubeedge/internal/section"
)

func main() {
	command := section.Prepare(section.Component{
		Command: app.NewEdgeCoreCommand(),
		Min: func() (section.Document, error) {
			return section.With(v1alpha2.NewMinEdgeCoreConfig(), map[string]any{
				edgeDataStream: map[string]any{"enable": false},
			})
		},
		Default: func() (section.Document, error) {
			stock := v1alpha2.NewDefaultEdgeCoreConfig()
			return section.With(stock, map[string]any{edgeDataStream: defaults(stock)})
		},
		Register: register,
	})
	logs.InitLogs()
	klog.EnableContextualLogging(true) // InitLogs turns it off, and our lines would lack the stream they are about
	defer logs.FlushLogs()

	if err := command.Execute(); err != nil {
		logs.FlushLogs()
		os.Exit(1) //nolint:gocritic // logs are flushed
	}
}
