// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package instrument

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

const module = "github.com/kubeedge/datastream"

// NewBuildInfo is the gauge datastream_build_info: 1, with what the program knows of how it was built.
func NewBuildInfo() prometheus.Collector {
	version, revision := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, revision = build(info)
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "datastream", Name: "build_info", Help: "1, with the version of the module and the commit as far as the program knows them.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision},
	})
	g.Set(1)
	return g
}

// build finds this module, which is the program's own or one that it is made with.
func build(info *debug.BuildInfo) (version, revision string) {
	version, revision = info.Main.Version, "unknown"
	for _, d := range info.Deps {
		if d.Path == module {
			version = d.Version
		}
	}
	if version == "" {
		version = "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return version, revision
}
