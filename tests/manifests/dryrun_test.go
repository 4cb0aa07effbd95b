// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/kubeedge/datastream/hack/localup/cluster"
)

func TestKustomize(t *testing.T) {
	for _, overlay := range []string{"base", "nodeport"} {
		t.Run(overlay, func(t *testing.T) {
			dryRun(t, run(t, nil, tool(t, "kubectl"), "kustomize", build+"manifests/"+overlay), 8)
		})
	}
}

func TestHelm(t *testing.T) {
	stock := filepath.Join(t.TempDir(), "cloudcore.yaml")
	if err := os.WriteFile(stock, stockConfig(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		objects int
		args    []string
	}{
		{"defaults", 8, nil},
		{"configuration", 9, []string{"--set-file=cloudcore.yaml=" + stock}},
		{"NodePort", 8, []string{"--set=tunnel.service.type=NodePort,tunnel.service.nodePort=30006"}},
		{"LoadBalancer", 8, []string{"--set=tunnel.service.type=LoadBalancer,tunnel.service.annotations.a=b"}},
		{"no services", 6, []string{"--set=tunnel.service.enabled=false,viewers.service.enabled=false"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args := append([]string{"template", "test", chart, "--include-crds", "--namespace=kubeedge", "--kube-version=1.30.0"}, tc.args...)
			dryRun(t, run(t, nil, tool(t, "helm"), args...), tc.objects)
		})
	}
}

// The chart's cloudcore.yaml has all of KubeEdge's part, and ours.
func TestHelmConfiguration(t *testing.T) {
	stock := filepath.Join(t.TempDir(), "cloudcore.yaml")
	if err := os.WriteFile(stock, stockConfig(t), 0o600); err != nil {
		t.Fatal(err)
	}
	rendered := run(t, nil, tool(t, "helm"), "template", "test", chart, "--kube-version=1.30.0",
		"--show-only=templates/configmap.yaml", "--set-file=cloudcore.yaml="+stock)
	var m corev1.ConfigMap
	unmarshal(t, rendered, &m)
	var got, want struct {
		Modules map[string]any `json:"modules"`
	}
	unmarshal(t, []byte(m.Data["cloudcore.yaml"]), &got)
	unmarshal(t, stockConfig(t), &want)
	if len(want.Modules) == 0 || len(got.Modules) != len(want.Modules)+2 {
		t.Errorf("KubeEdge's modules are %v, the chart's %v", want.Modules, got.Modules)
	}
	ours := make(map[string]any)
	for name, section := range got.Modules {
		if _, ok := want.Modules[name]; !ok {
			ours[name] = section
		}
	}
	data, err := yaml.Marshal(ours)
	if err != nil {
		t.Fatal(err)
	}
	parse(t, data)
}

// KubeEdge's Deployment with our patch is one that the API server takes.
func TestDeploymentPatch(t *testing.T) {
	original, err := yaml.YAMLToJSON(read(t, kubeEdge(t)+"/build/cloud/07-deployment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	patch, err := yaml.YAMLToJSON(read(t, build+"manifests/cloudcore/deployment-patch.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	patched, err := strategicpatch.StrategicMergePatch(original, patch, appsv1.Deployment{})
	if err != nil {
		t.Fatal(err)
	}
	var d appsv1.Deployment
	unmarshal(t, patched, &d)
	for _, volume := range d.Spec.Template.Spec.Volumes {
		if volume.Name == "conf" && volume.ConfigMap.Name != "cloudcore-datastream" {
			t.Errorf("cloudcore.yaml comes from %s, which KubeEdge writes anew", volume.ConfigMap.Name)
		}
	}
	if n := len(d.Spec.Template.Spec.Containers); n != 1 {
		t.Errorf("%d containers: the patch must change KubeEdge's", n)
	}
	d.Name = "patched" // else it would be merged into the Deployment that may be there
	if patched, err = yaml.Marshal(d); err != nil {
		t.Fatal(err)
	}
	dryRun(t, patched, 1)
}

// dryRun has the API server check every object, and keeps none.
func dryRun(t *testing.T, manifests []byte, objects int) {
	t.Helper()
	dir := os.Getenv("E2E_CLUSTER")
	if dir == "" {
		t.Skip("E2E_CLUSTER is not set")
	}
	c, err := cluster.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, manifests, tool(t, "kubectl"), "--kubeconfig="+c.Kubeconfig(), "apply", "--server-side", "--dry-run=server",
		"--force-conflicts", "--validate=strict", "--filename=-")
	t.Logf("%s", out)
	if n := strings.Count(string(out), "(server dry run)"); n != objects {
		t.Errorf("the API server took %d objects, want %d", n, objects)
	}
}

// tool is a program on PATH, or the one that the environment names. Without it the test is skipped.
func tool(t *testing.T, name string) string {
	t.Helper()
	if path := os.Getenv(strings.ToUpper(name)); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(err)
	}
	return path
}

func run(t *testing.T, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.String())
	}
	return out
}

// kubeEdge is where the KubeEdge release lies that build/kubeedge builds.
func kubeEdge(t *testing.T) string {
	t.Helper()
	out := run(t, nil, "go", "-C", build+"kubeedge", "list", "-m", "-f", "{{.Dir}}", "github.com/kubeedge/kubeedge")
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		t.Skip("KubeEdge is not in the module cache")
	}
	return dir
}

// stockConfig is cloudcore.yaml of the release.
func stockConfig(t *testing.T) []byte {
	t.Helper()
	var m corev1.ConfigMap
	unmarshal(t, read(t, kubeEdge(t)+"/build/cloud/05-configmap.yaml"), &m)
	return []byte(m.Data["cloudcore.yaml"])
}
