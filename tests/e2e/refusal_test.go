// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/tests/crds/manifests"
)

// The API server itself takes and refuses what tests/crds shows to its libraries, with the same sentences.
func TestManifests(t *testing.T) {
	s := newSpace(t)
	for _, kind := range []struct {
		name, plural string
		cases        []manifests.Case
	}{
		{"StreamRule", "streamrules", manifests.StreamRules()},
		{"StreamRuleEndpoint", "streamruleendpoints", manifests.StreamRuleEndpoints()},
	} {
		refused := 0
		for i, tc := range kind.cases {
			t.Run(kind.name+"/"+tc.Name, func(t *testing.T) {
				err := env.rules.StreamrulesV1alpha1().RESTClient().Post().
					Namespace(s.name).Resource(kind.plural).
					SetHeader("Content-Type", "application/yaml").
					VersionedParams(&metav1.CreateOptions{
						FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll},
					}, metav1.ParameterCodec).
					Body(tc.YAML(kind.name, fmt.Sprintf("case-%d", i))).
					Do(patient(t)).Error()
				switch {
				case tc.Want == "":
					must(t, err)
				case !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err):
					t.Fatalf("got %v, want a refusal with %q", err, tc.Want)
				case !strings.Contains(err.Error(), tc.Want):
					t.Fatalf("refused with\n  %v\nwant\n  %s", err, tc.Want)
				default:
					refused++
				}
			})
		}
		t.Logf("%d of %d manifests of %s are refused", refused, len(kind.cases), kind.name)
	}
}
