// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/kubeedge/datastream/hack/localup/cluster"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	streamrules "github.com/kubeedge/datastream/pkg/client/clientset/versioned/typed/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// ruleName is that of the one rule of a space.
const ruleName = "rule"

// space is a namespace of one test, with at most one rule, and an endpoint for each camera.
type space struct {
	t         *testing.T
	env       *environment
	name      string
	rules     streamrules.StreamRuleInterface
	endpoints streamrules.StreamRuleEndpointInterface
}

// newSpace makes a namespace of the shared cluster.
func newSpace(t *testing.T) *space {
	t.Helper()
	return env.newSpace(t)
}

// newSpace makes a namespace whose rules and endpoints end with the test. The namespace stays: there is no controller that would
// remove it.
func (e *environment) newSpace(t *testing.T) *space {
	t.Helper()
	ns, err := e.kube.CoreV1().Namespaces().Create(patient(t),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}, metav1.CreateOptions{})
	must(t, err)
	s := &space{
		t: t, env: e, name: ns.Name,
		rules:     e.rules.StreamrulesV1alpha1().StreamRules(ns.Name),
		endpoints: e.rules.StreamrulesV1alpha1().StreamRuleEndpoints(ns.Name),
	}
	for _, camera := range []string{cluster.Camera1, cluster.Camera2} {
		s.addEndpoint(camera, e.CameraURL(camera))
	}
	t.Cleanup(func() {
		must(t, s.rules.DeleteCollection(patient(t), metav1.DeleteOptions{}, metav1.ListOptions{}))
		must(t, s.endpoints.DeleteCollection(patient(t), metav1.DeleteOptions{}, metav1.ListOptions{}))
	})
	return s
}

func (s *space) addEndpoint(name, url string) {
	s.t.Helper()
	_, err := s.endpoints.Create(patient(s.t), &v1alpha1.StreamRuleEndpoint{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.StreamRuleEndpointSpec{Protocol: v1alpha1.ProtocolWebSocket, URL: url},
	}, metav1.CreateOptions{})
	must(s.t, err)
}

// target is a camera at /<camera> of a node.
func target(camera, node string) v1alpha1.StreamTarget {
	return v1alpha1.StreamTarget{
		EndpointRef:    camera,
		TargetResource: v1alpha1.TargetResource{NodeName: node, Path: "/" + camera},
	}
}

// set creates the rule, or gives it other targets.
func (s *space) set(targets ...v1alpha1.StreamTarget) {
	s.t.Helper()
	ctx := patient(s.t)
	must(s.t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		rule, err := s.rules.Get(ctx, ruleName, metav1.GetOptions{})
		if err != nil {
			rule = &v1alpha1.StreamRule{ObjectMeta: metav1.ObjectMeta{Name: ruleName}, Spec: v1alpha1.StreamRuleSpec{Targets: targets}}
			_, err = s.rules.Create(ctx, rule, metav1.CreateOptions{})
			return err
		}
		rule.Spec.Targets = targets
		_, err = s.rules.Update(ctx, rule, metav1.UpdateOptions{})
		return err
	}))
}

// url is that of a target's stream.
func (s *space) url(t v1alpha1.StreamTarget) string { return s.env.Viewers() + s.path(t) }

func (s *space) path(t v1alpha1.StreamTarget) string {
	return fmt.Sprintf("/namespaces/%s/node/%s/%s%s", s.name, t.TargetResource.NodeName, ruleName, t.TargetResource.Path)
}

// tunnel is the path that a node dials for a target.
func (s *space) tunnel(t v1alpha1.StreamTarget) string {
	return tunnel.StreamKey{Node: t.TargetResource.NodeName, Namespace: s.name, Rule: ruleName, Path: t.TargetResource.Path}.URLPath()
}

// settled returns when exactly these targets run: the cloud has a tunnel of each and knows no other, each node's stored
// assignment has just its own, and the rule's status says that all is delivered. It returns how long the first two took.
func (s *space) settled(targets ...v1alpha1.StreamTarget) time.Duration {
	s.t.Helper()
	want := make(map[string]bool)
	nodes := map[string][]string{cluster.Edge1: {}, cluster.Edge2: {}}
	for _, target := range targets {
		want[s.path(target)] = true
		node := target.TargetResource.NodeName
		nodes[node] = append(nodes[node], target.TargetResource.Path)
	}
	took := eventually(s.t, "exactly the desired targets", func(ctx context.Context) error {
		if err := s.checkCloud(ctx, want); err != nil {
			return err
		}
		for node, paths := range nodes {
			if err := s.checkStored(node, paths); err != nil {
				return err
			}
		}
		return nil
	})
	if len(targets) > 0 {
		eventually(s.t, "a status that says so", s.checkStatus)
	}
	return took
}

// away returns when the cloud has missed the target's tunnel.
func (s *space) away(target v1alpha1.StreamTarget) {
	s.t.Helper()
	s.cloudHas(map[string]bool{s.path(target): false})
}

// cloudHas returns when the cloud knows exactly these streams, and has tunnels of just those that are true, and how long that took.
func (s *space) cloudHas(want map[string]bool) time.Duration {
	s.t.Helper()
	return eventually(s.t, "the cloud's view of streams and tunnels", func(ctx context.Context) error { return s.checkCloud(ctx, want) })
}

// checkCloud fails unless the cloud knows exactly these streams of the space, and whether they have a tunnel.
func (s *space) checkCloud(ctx context.Context, want map[string]bool) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.env.Viewers()+"/streams", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var streams []struct{ URL, State string }
	if err := json.NewDecoder(resp.Body).Decode(&streams); err != nil {
		return fmt.Errorf("reading the list of streams: %w", err)
	}
	got := make(map[string]bool)
	for _, stream := range streams {
		if strings.HasPrefix(stream.URL, "/namespaces/"+s.name+"/") {
			got[stream.URL] = stream.State != "away"
		}
	}
	if !maps.Equal(got, want) {
		return fmt.Errorf("the cloud's streams and whether they have a tunnel: %v, want %v", got, want)
	}
	return nil
}

// checkStored fails unless the node has stored exactly these paths of the space.
func (s *space) checkStored(node string, want []string) error {
	data, err := os.ReadFile(filepath.Join(s.env.Dir, node, "assignment.json"))
	if errors.Is(err, fs.ErrNotExist) && len(want) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what %s has stored: %w", node, err)
	}
	stored, err := assignment.Decode(data)
	if err != nil {
		return fmt.Errorf("reading what %s has stored: %w", node, err)
	}
	got := []string{}
	for _, t := range stored.Targets {
		if t.Namespace == s.name {
			got = append(got, t.Path)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s has stored %v, want %v", node, got, want)
	}
	return nil
}

// checkStatus fails unless the rule is delivered and ready as it is now.
func (s *space) checkStatus(ctx context.Context) error {
	rule, err := s.rules.Get(ctx, ruleName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, name := range []string{v1alpha1.ConditionDelivered, v1alpha1.ConditionReady} {
		if err := checkCondition(rule, name, metav1.ConditionTrue); err != nil {
			return err
		}
	}
	return nil
}

func checkCondition(rule *v1alpha1.StreamRule, name string, want metav1.ConditionStatus) error {
	for _, c := range rule.Status.Conditions {
		if c.Type == name && c.Status == want && c.ObservedGeneration == rule.Generation {
			return nil
		}
	}
	return fmt.Errorf("generation %d has no condition %s=%s: %+v", rule.Generation, name, want, rule.Status.Conditions)
}
