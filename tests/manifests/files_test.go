// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifests tests what is installed on a cluster: the kustomize manifests, the Helm chart and the Dockerfiles. What an API
// server must say needs a cluster of hack/localup whose folder is in E2E_CLUSTER, and the chart a renderer in RENDER ("make
// test-manifests" sees to both); the rest runs always.
package manifests

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	"sigs.k8s.io/yaml"

	config "github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

const (
	build = "../../build/"
	chart = build + "helm/kubeedge-datastream/"
)

func TestChartHasTheManifests(t *testing.T) {
	shared := map[string]string{
		build + "manifests/rbac/cloudcore-datastream.yaml": chart + "templates/rbac.yaml",
		build + "manifests/rbac/viewers.yaml":              chart + "templates/viewers.yaml",
	}
	for _, crd := range glob(t, build+"crds/streamrules/*.yaml") {
		shared[crd] = chart + "crds/" + filepath.Base(crd)
	}
	if crds := glob(t, chart+"crds/*"); len(crds) != len(shared)-2 {
		t.Errorf("the chart has the CRDs %v", crds)
	}
	for from, to := range shared {
		if !bytes.Equal(read(t, from), read(t, to)) {
			t.Errorf("%s is not %s: run build/helm/sync.sh", to, from)
		}
	}
}

// sections is our part of cloudcore.yaml.
type sections struct {
	Stream     *config.CloudDataStream      `json:"cloudDataStream"`
	Controller *config.StreamRuleController `json:"streamRuleController"`
}

// parse reads sections over the defaults, strictly.
func parse(t *testing.T, data []byte) sections {
	t.Helper()
	s := sections{config.NewDefaultCloudDataStream(), config.NewDefaultStreamRuleController()}
	if err := yaml.UnmarshalStrict(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSections(t *testing.T) {
	s := parse(t, read(t, build+"manifests/cloudcore/sections.yaml"))
	if errs := append(s.Stream.Validate(nil), s.Controller.Validate(nil)...); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
	if !s.Stream.Enable || !s.Controller.Enable {
		t.Error("a module is not enabled")
	}
	if want := config.NewDefaultCloudDataStream().Stream.Listen; s.Stream.Stream.Listen != want {
		t.Errorf("viewers send their tokens to %s, want %s", s.Stream.Stream.Listen, want)
	}
	var values struct {
		Modules map[string]any `json:"modules"`
	}
	unmarshal(t, read(t, chart+"values.yaml"), &values)
	data, err := yaml.Marshal(values.Modules)
	if err != nil {
		t.Fatal(err)
	}
	if inChart := parse(t, data); !reflect.DeepEqual(inChart, s) {
		t.Errorf("the chart's modules are not those of sections.yaml:\n%+v\n%+v", inChart, s)
	}
}

func TestKubeEdgeVersion(t *testing.T) {
	find := func(file, pattern string) string {
		m := regexp.MustCompile(pattern).FindSubmatch(read(t, build+file))
		if m == nil {
			t.Fatalf("%s has no %s", file, pattern)
		}
		return string(m[1])
	}
	want := find("kubeedge/go.mod", `github\.com/kubeedge/kubeedge (v\S+)`)
	for file, pattern := range map[string]string{
		"kubeedge/build.mk":                         `KUBEEDGE_VERSION := (\S+)`,
		"docker/cloudcore.Dockerfile":               `KUBEEDGE_VERSION=(\S+)`,
		"docker/edgecore.Dockerfile":                `KUBEEDGE_VERSION=(\S+)`,
		"helm/kubeedge-datastream/Chart.yaml":       `appVersion: (\S+)`,
		"manifests/cloudcore/deployment-patch.yaml": `image: \S+:(\S+)`,
	} {
		if got := find(file, pattern); got != want {
			t.Errorf("%s is for KubeEdge %s, want %s", file, got, want)
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func unmarshal(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found
}
