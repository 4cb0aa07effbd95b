// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crds_test checks the committed CRDs with the code that the API server runs.
package crds_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

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

// manifest is a file of YAML documents sorted by kind.
type manifest struct {
	rules     []v1alpha1.StreamRule
	endpoints []v1alpha1.StreamRuleEndpoint
	secrets   []corev1.Secret
}

// apply admits every document of a file and decodes it strictly into its Go type.
func apply(t *testing.T, file []byte) manifest {
	t.Helper()
	rules, endpoints := load(t, "streamrules"), load(t, "streamruleendpoints")
	var m manifest
	for _, doc := range bytes.Split(file, []byte("\n---\n")) {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(doc, &meta); err != nil {
			t.Fatalf("decoding the kind: %v", err)
		}
		switch meta.Kind {
		case "StreamRule":
			m.rules = append(m.rules, decode[v1alpha1.StreamRule](t, rules, doc))
		case "StreamRuleEndpoint":
			m.endpoints = append(m.endpoints, decode[v1alpha1.StreamRuleEndpoint](t, endpoints, doc))
		case "Secret":
			m.secrets = append(m.secrets, decode[corev1.Secret](t, nil, doc))
		default:
			t.Fatalf("unknown kind %q", meta.Kind)
		}
	}
	return m
}

func decode[T any](t *testing.T, r *resource, doc []byte) T {
	t.Helper()
	var object T
	if err := yaml.UnmarshalStrict(doc, &object); err != nil {
		t.Fatalf("decoding into %T: %v", object, err)
	}
	if r != nil {
		if _, errs := r.admit(doc); len(errs) > 0 {
			t.Fatalf("refused: %v\n%s", errs.ToAggregate(), doc)
		}
	}
	return object
}

func TestDesignYAML(t *testing.T) {
	m := apply(t, []byte(designYAML))
	if len(m.rules) != 1 || len(m.endpoints) != 1 {
		t.Fatalf("got %d rules and %d endpoints, want one of each", len(m.rules), len(m.endpoints))
	}
	wantRule := v1alpha1.StreamRuleSpec{Targets: []v1alpha1.StreamTarget{{
		EndpointRef:    "edge-video-001",
		TargetResource: v1alpha1.TargetResource{NodeName: "edge-node-1", Path: "/camera-001"},
	}}}
	if got := m.rules[0].Spec; !reflect.DeepEqual(got, wantRule) {
		t.Errorf("rule is %+v, want %+v", got, wantRule)
	}
	wantEndpoint := v1alpha1.StreamRuleEndpointSpec{
		Protocol:   v1alpha1.ProtocolWebSocket,
		URL:        "rtsp://192.0.2.10/stream",
		Properties: map[string]string{},
	}
	if got := m.endpoints[0].Spec; !reflect.DeepEqual(got, wantEndpoint) {
		t.Errorf("endpoint is %+v, want %+v", got, wantEndpoint)
	}
}

func TestSamples(t *testing.T) {
	files, err := filepath.Glob("../../docs/samples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples found: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := apply(t, data)
			endpoints, secrets := map[string]bool{}, map[string]bool{}
			for _, s := range m.secrets {
				secrets[s.Name] = s.Type == corev1.SecretTypeBasicAuth
			}
			for _, e := range m.endpoints {
				endpoints[e.Name] = true
				if ref := e.Spec.CredentialsSecretRef; ref != nil && !secrets[ref.Name] {
					t.Errorf("endpoint %s refers to %s, which is no basic-auth Secret of this file", e.Name, ref.Name)
				}
			}
			for _, r := range m.rules {
				for _, target := range r.Spec.Targets {
					if !endpoints[target.EndpointRef] {
						t.Errorf("rule %s refers to %s, which is no endpoint of this file", r.Name, target.EndpointRef)
					}
				}
			}
		})
	}
}

// The samples hold the promised manifest, only with comments.
func TestCameraSampleIsDesignYAML(t *testing.T) {
	data, err := os.ReadFile("../../docs/samples/camera.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := apply(t, data), apply(t, []byte(designYAML)); !reflect.DeepEqual(got, want) {
		t.Errorf("sample is %+v, want %+v", got, want)
	}
}

func TestDefaults(t *testing.T) {
	object, errs := load(t, "streamruleendpoints").admit([]byte(`apiVersion: streamrules.kubeedge.io/v1alpha1
kind: StreamRuleEndpoint
metadata: {name: test}
spec: {url: "rtsp://192.0.2.10/stream"}
`))
	if len(errs) > 0 {
		t.Fatalf("refused: %v", errs.ToAggregate())
	}
	want := map[string]any{"protocol": "websocket", "url": "rtsp://192.0.2.10/stream"}
	if got := object["spec"]; !reflect.DeepEqual(got, want) {
		t.Errorf("spec is %v, want %v", got, want)
	}
}

func TestShape(t *testing.T) {
	for plural, want := range map[string]struct {
		kind, short string
		columns     []string
	}{
		"streamrules":         {"StreamRule", "sr", []string{"Targets", "Connected", "Streaming", "Ready", "Reason", "Message", "Age"}},
		"streamruleendpoints": {"StreamRuleEndpoint", "sre", []string{"Protocol", "Credentials", "Age"}},
	} {
		t.Run(plural, func(t *testing.T) {
			r := load(t, plural)
			names := r.crd.Spec.Names
			if names.Plural != plural || names.Kind != want.kind || !reflect.DeepEqual(names.ShortNames, []string{want.short}) {
				t.Errorf("names are %+v", names)
			}
			if r.crd.Spec.Scope != "Namespaced" {
				t.Errorf("scope is %s", r.crd.Spec.Scope)
			}
			if r.crd.Spec.Subresources == nil || r.crd.Spec.Subresources.Status == nil {
				t.Error("no status subresource")
			}
			var columns []string
			for _, column := range r.columns {
				columns = append(columns, column.Name)
				if strings.Contains(column.JSONPath, "url") {
					t.Errorf("column %s prints the URL, which may contain a password", column.Name)
				}
			}
			if !reflect.DeepEqual(columns, want.columns) {
				t.Errorf("columns are %v, want %v", columns, want.columns)
			}
		})
	}
}
