// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cloudcore is KubeEdge's, with the modules CloudDataStream and StreamRuleController in it.
package main

import (
	"os"

	"github.com/kubeedge/api/apis/componentconfig/cloudcore/v1alpha1"
	"github.com/kubeedge/kubeedge/cloud/cmd/cloudcore/app"
	"k8s.io/component-base/logs"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/build/kubeedge/internal/section"
	datastream "github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

func main() {
	command := section.Prepare(section.Component{
		Command: app.NewCloudCoreCommand(),
		Min: func() (section.Document, error) {
			return section.With(v1alpha1.NewMinCloudCoreConfig(), map[string]any{
				cloudDataStream:      map[string]any{"enable": false},
				streamRuleController: map[string]any{"enable": false},
			})
		},
		Default: func() (section.Document, error) {
			return section.With(v1alpha1.NewDefaultCloudCoreConfig(), map[string]any{
				cloudDataStream:      datastream.NewDefaultCloudDataStream(),
				streamRuleController: datastream.NewDefaultStreamRuleController(),
			})
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
