// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package crds_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream"
)

// The API server takes the URL schemes that the edge can read, no more and no fewer, and its message names them.
func TestSchemesAreThoseOfTheEdge(t *testing.T) {
	want := slices.Sorted(maps.Keys(edgedatastream.DefaultSources()))
	spec := load(t, "streamruleendpoints").structural.Properties["spec"]
	for _, rule := range spec.Properties["url"].XValidations {
		alternatives := regexp.MustCompile(`'\^\(([a-z0-9+.|-]+)\)://'`).FindStringSubmatch(rule.Rule)
		if alternatives == nil {
			continue
		}
		if got := slices.Sorted(slices.Values(strings.Split(alternatives[1], "|"))); !slices.Equal(got, want) {
			t.Errorf("the CRD takes the schemes %q, the edge reads %q", got, want)
		}
		for _, scheme := range want {
			if !strings.Contains(rule.Message, scheme+"://") {
				t.Errorf("the message %q does not name %s", rule.Message, scheme)
			}
		}
		return
	}
	t.Error("no rule of spec.url is about its scheme")
}
