// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package crds_test

import (
	"strings"
	"testing"

	"github.com/kubeedge/datastream/tests/crds/manifests"
)

func runManifests(t *testing.T, plural, kind string, cases []manifests.Case) {
	t.Helper()
	r := load(t, plural)
	for _, tc := range cases {
		t.Run(tc.Name, func(t *testing.T) {
			_, errs := r.admit(tc.YAML(kind, "test"))
			if tc.Want == "" {
				if len(errs) > 0 {
					t.Fatalf("refused: %v", errs.ToAggregate())
				}
				return
			}
			if len(errs) == 0 {
				t.Fatalf("accepted, want a refusal with %q", tc.Want)
			}
			if got := errs.ToAggregate().Error(); !strings.Contains(got, tc.Want) {
				t.Fatalf("refused with\n  %s\nwant\n  %s", got, tc.Want)
			}
		})
	}
}

func TestStreamRule(t *testing.T) {
	runManifests(t, "streamrules", "StreamRule", manifests.StreamRules())
}

func TestStreamRuleEndpoint(t *testing.T) {
	runManifests(t, "streamruleendpoints", "StreamRuleEndpoint", manifests.StreamRuleEndpoints())
}

func TestStreamRuleStatus(t *testing.T) {
	runManifests(t, "streamrules", "StreamRule", manifests.StreamRuleStatuses())
}
