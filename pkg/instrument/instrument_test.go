// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package instrument

import (
	"runtime/debug"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/kubeedge/datastream/pkg/media"
)

func TestByKind(t *testing.T) {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "units_total"}, []string{"cause", KindLabel})
	kinds := NewByKind(vec, prometheus.Labels{"cause": "late"})
	kinds.Of(media.Video).Inc()
	kinds.Of(media.Data).Add(2)
	for kind, want := range map[string]float64{"video": 1, "audio": 0, "data": 2} {
		var m dto.Metric
		if err := vec.WithLabelValues("late", kind).Write(&m); err != nil {
			t.Fatal(err)
		}
		if got := m.GetCounter().GetValue(); got != want {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { kinds.Of(media.Audio).Inc() }); n != 0 {
		t.Errorf("counting allocates %v times", n)
	}
}

func TestBuild(t *testing.T) {
	settings := []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "c0ffee"}}
	for name, tc := range map[string]struct {
		info              debug.BuildInfo
		version, revision string
	}{
		"nothing known": {debug.BuildInfo{}, "unknown", "unknown"},
		"our program":   {debug.BuildInfo{Main: debug.Module{Path: module, Version: "v1.0.0"}, Settings: settings}, "v1.0.0", "c0ffee"},
		"another's": {debug.BuildInfo{
			Main: debug.Module{Path: "example.com/cloud", Version: "v2.0.0"}, Deps: []*debug.Module{{Path: "example.com/other", Version: "v9"}, {Path: module, Version: "v1.1.0"}},
		}, "v1.1.0", "unknown"},
	} {
		if version, revision := build(&tc.info); version != tc.version || revision != tc.revision {
			t.Errorf("%s: %s %s", name, version, revision)
		}
	}
}
