// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/hack/localup/cluster"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
)

// designYAML is the manifest that the API promises to take as it stands.
const designYAML = `apiVersion: streamrules.kubeedge.io/v1alpha1
kind: StreamRuleEndpoint
metadata: {name: edge-video-001}
spec: {protocol: websocket, url: "rtsp://192.0.2.10/stream", properties: {}}
---
apiVersion: streamrules.kubeedge.io/v1alpha1
kind: StreamRule
metadata: {name: video-stream-rule-camera}
spec:
  targets:
  - endpointRef: edge-video-001
    targetResource: { "node_name": "edge-node-1", "path": "/camera-001" }
`

// The manifest as it stands names a node and a camera that are not here. Viewers hear so; with ours in their places it plays.
func TestDesignYAML(t *testing.T) {
	ctx := patient(t)
	rules := env.rules.StreamrulesV1alpha1().StreamRules(metav1.NamespaceDefault)
	must(t, env.applier.Apply(ctx, []byte(designYAML), metav1.NamespaceDefault))
	t.Cleanup(func() {
		ctx := patient(t)
		must(t, rules.Delete(ctx, "video-stream-rule-camera", metav1.DeleteOptions{}))
		must(t, env.rules.StreamrulesV1alpha1().StreamRuleEndpoints(metav1.NamespaceDefault).Delete(ctx, "edge-video-001", metav1.DeleteOptions{}))
	})
	answer := refused(t, env.Viewers()+"/node/edge-node-1/video-stream-rule-camera/camera-001",
		http.StatusServiceUnavailable, "edge-node-1")
	if answer.retryAfter == "" {
		t.Error("503 has no Retry-After")
	}
	eventually(t, "a status that says so", func(ctx context.Context) error {
		rule, err := rules.Get(ctx, "video-stream-rule-camera", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return checkCondition(rule, v1alpha1.ConditionReady, metav1.ConditionFalse)
	})

	ours := strings.NewReplacer("rtsp://192.0.2.10/stream", env.CameraURL(cluster.Camera1), "edge-node-1", cluster.Edge1).Replace(designYAML)
	must(t, env.applier.Apply(ctx, []byte(ours), metav1.NamespaceDefault))
	took := plays(t, env.Viewers()+"/node/edge-1/video-stream-rule-camera/camera-001", codec1)
	t.Logf("from apply to a second of frames: %.1f s", took.Seconds())
}

func TestBothNodes(t *testing.T) {
	s := newSpace(t)
	one, two := target(cluster.Camera1, cluster.Edge1), target(cluster.Camera2, cluster.Edge2)
	s.set(one, two)
	t.Logf("settled after %.1f s", s.settled(one, two).Seconds())
	plays(t, s.url(one), codec1)
	plays(t, s.url(two), codec2)
}

func TestUpdateURL(t *testing.T) {
	s := newSpace(t)
	one := target(cluster.Camera1, cluster.Edge1)
	s.set(one)
	plays(t, s.url(one), codec1)
	ctx := patient(t)
	endpoint, err := s.endpoints.Get(ctx, cluster.Camera1, metav1.GetOptions{})
	must(t, err)
	endpoint.Spec.URL = env.CameraURL(cluster.Camera2)
	_, err = s.endpoints.Update(ctx, endpoint, metav1.UpdateOptions{})
	must(t, err)
	t.Logf("frames of the other camera after %.1f s", plays(t, s.url(one), codec2).Seconds())
}

func TestMoveTarget(t *testing.T) {
	s := newSpace(t)
	here, there := target(cluster.Camera1, cluster.Edge1), target(cluster.Camera1, cluster.Edge2)
	s.set(here)
	plays(t, s.url(here), codec1)
	s.set(there)
	t.Logf("settled after %.1f s", s.settled(there).Seconds())
	plays(t, s.url(there), codec1)
	_ = refused(t, s.url(here), http.StatusNotFound, cluster.Edge1)
}

func TestDelete(t *testing.T) {
	s := newSpace(t)
	one := target(cluster.Camera1, cluster.Edge1)
	s.set(one)
	plays(t, s.url(one), codec1)

	must(t, s.endpoints.Delete(patient(t), cluster.Camera1, metav1.DeleteOptions{}))
	eventually(t, "a status that says so", func(ctx context.Context) error {
		rule, err := s.rules.Get(ctx, ruleName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return checkCondition(rule, v1alpha1.ConditionEndpointsResolved, metav1.ConditionFalse)
	})
	s.addEndpoint(cluster.Camera1, env.CameraURL(cluster.Camera1))
	t.Logf("with its endpoint again, frames after %.1f s", plays(t, s.url(one), codec1).Seconds())

	must(t, s.rules.Delete(patient(t), ruleName, metav1.DeleteOptions{}))
	t.Logf("without its rule, gone after %.1f s", s.settled().Seconds())
	_ = refused(t, s.url(one), http.StatusNotFound, cluster.Edge1)
}

// A URL that is wrong is answered with the part that is.
func TestUnknown(t *testing.T) {
	s := newSpace(t)
	one := target(cluster.Camera1, cluster.Edge1)
	s.set(one)
	s.settled(one)
	url := s.url(one)
	refused(t, strings.Replace(url, "edge-1", "edge-9", 1), http.StatusNotFound, "edge-9").about(t, "node")
	refused(t, strings.Replace(url, "/rule/", "/ruler/", 1), http.StatusNotFound, "ruler").about(t, "rule")
	refused(t, url+"x", http.StatusNotFound, "/camera-1x").about(t, "path")
}
