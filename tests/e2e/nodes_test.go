// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/hack/localup/cluster"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
)

// A node is cut off when its Node object is deleted, and let in when there is one again. The nodes of this cluster run without
// edged, so they have none of their own.
func TestNodeDeleted(t *testing.T) {
	s := newSpace(t)
	watched := target(cluster.Camera1, cluster.Edge1)
	nodes := env.kube.CoreV1().Nodes()
	create := func() {
		t.Helper()
		_, err := nodes.Create(patient(t), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: cluster.Edge1}}, metav1.CreateOptions{})
		must(t, err)
	}
	s.set(watched)
	s.settled(watched)
	plays(t, s.url(watched), codec1)
	create()
	t.Cleanup(func() {
		_ = nodes.Delete(context.Background(), cluster.Edge1, metav1.DeleteOptions{})
		env.kill(t, cluster.CloudCore) // it would remember that
		env.restart(t, cluster.CloudCore)
		must(t, env.CloudReady(patient(t)))
	})
	must(t, nodes.Delete(patient(t), cluster.Edge1, metav1.DeleteOptions{}))
	took := eventually(t, "a status that says so", func(ctx context.Context) error {
		rule, err := s.rules.Get(ctx, ruleName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range rule.Status.Conditions {
			if c.Type == v1alpha1.ConditionReady && c.Reason == "NodeDeleted" {
				return nil
			}
		}
		return fmt.Errorf("%+v", rule.Status.Conditions)
	})
	t.Logf("cut off after %.1f s", took.Seconds())
	_ = refused(t, s.url(watched), http.StatusServiceUnavailable, "the Node was deleted")

	create()
	s.settled(watched)
	t.Logf("with a Node again, frames after %.1f s", plays(t, s.url(watched), codec1).Seconds())
}
