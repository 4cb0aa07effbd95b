// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
)

func rule() *v1alpha1.StreamRule {
	r := &v1alpha1.StreamRule{ObjectMeta: metav1.ObjectMeta{Namespace: "yard", Name: "gate"}}
	for _, at := range [][2]string{{"edge-1", "/camera"}, {"edge-2", "/camera"}, {"edge-1", "/barn/east"}} {
		r.Spec.Targets = append(r.Spec.Targets, v1alpha1.StreamTarget{
			EndpointRef: "e", TargetResource: v1alpha1.TargetResource{NodeName: at[0], Path: at[1]},
		})
	}
	r.Status.Targets = []v1alpha1.StreamTargetStatus{{Node: "edge-2", Path: "/camera", State: v1alpha1.TargetIdle}}
	return r
}

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		arg, node string
		want      string
	}{
		{"gate", "", "gate/camera on edge-1, gate/camera on edge-2, gate/barn/east on edge-1"},
		{"gate/camera", "", "gate/camera on edge-1, gate/camera on edge-2"},
		{"gate/camera", "edge-2", "gate/camera on edge-2"},
		{"gate/barn/east", "", "gate/barn/east on edge-1"},
	} {
		ref, err := Parse(c.arg, c.node)
		if err != nil {
			t.Fatal(err)
		}
		found, err := ref.Select(rule())
		if err != nil || Names(found) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.arg, Names(found), err, c.want)
		}
		for _, s := range found {
			if (s.Status != nil) != (s.Key.Node == "edge-2") {
				t.Errorf("%s on %s has the status %+v", &s, s.Key.Node, s.Status)
			}
		}
	}
	for _, ref := range []Ref{{Rule: "gate", Path: "/none"}, {Rule: "gate", Node: "edge-3"}} {
		if _, err := ref.Select(rule()); !errors.Is(err, ErrNoPath) {
			t.Errorf("%+v: %v", ref, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, arg := range []string{"", "/camera", "gate/"} {
		if ref, err := Parse(arg, ""); err == nil {
			t.Errorf("%q is %+v", arg, ref)
		}
	}
}
