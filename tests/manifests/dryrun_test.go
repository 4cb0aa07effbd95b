// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/kubeedge/datastream/hack/localup/cluster"
)

func TestKustomize(t *testing.T) {
	for _, overlay := range []string{"base", "nodeport", "monitoring"} {
		t.Run(overlay, func(t *testing.T) {
			dryRun(t, kustomize(t, overlay))
		})
	}
}

func kustomize(t *testing.T, overlay string) []byte {
	t.Helper()
	return run(t, nil, kubectl(t), "kustomize", build+"manifests/"+overlay)
}

func TestHelm(t *testing.T) {
	base := objects(kustomize(t, "base"))
	stock := filepath.Join(t.TempDir(), "cloudcore.yaml")
	if err := os.WriteFile(stock, stockConfig(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		more int // objects than kustomize has
		args []string
	}{
		{"defaults", 0, nil},
		{"configuration", 1, []string{"-set-file=cloudcore.yaml=" + stock}},
		{"NodePort", 0, []string{"-set=tunnel.service.type=NodePort,tunnel.service.nodePort=30006"}},
		{"LoadBalancer", 0, []string{"-set=tunnel.service.type=LoadBalancer,tunnel.service.annotations.a=b"}},
		{"no services", -2, []string{"-set=tunnel.service.enabled=false,viewers.service.enabled=false"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rendered := helm(t, tc.args...)
			if n := objects(rendered); n != base+tc.more {
				t.Errorf("%d objects, want %d", n, base+tc.more)
			}
			dryRun(t, rendered)
		})
	}
}

// The chart's cloudcore.yaml has all of KubeEdge's part, whether that was given or is the cluster's, and ours.
func TestHelmConfiguration(t *testing.T) {
	stock := filepath.Join(t.TempDir(), "cloudcore.yaml")
	if err := os.WriteFile(stock, stockConfig(t), 0o600); err != nil {
		t.Fatal(err)
	}
	const template = "-show-only=templates/configmap.yaml"
	t.Run("given", func(t *testing.T) { checkConfiguration(t, helm(t, template, "-set-file=cloudcore.yaml="+stock)) })
	t.Run("found", func(t *testing.T) {
		config := "--kubeconfig=" + openCluster(t).Kubeconfig()
		run(t, nil, kubectl(t), config, "--namespace=kubeedge", "create", "configmap", "cloudcore", "--from-file=cloudcore.yaml="+stock)
		t.Cleanup(func() { run(t, nil, kubectl(t), config, "--namespace=kubeedge", "delete", "configmap", "cloudcore") })
		checkConfiguration(t, helm(t, template, config))
	})
}

func checkConfiguration(t *testing.T, rendered []byte) {
	t.Helper()
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
	dryRun(t, patched)
}

// objects is how many there are in a YAML stream.
func objects(manifests []byte) int {
	return len(regexp.MustCompile(`(?m)^kind:`).FindAll(manifests, -1))
}

// dryRun has the API server check every object, and keeps none.
func dryRun(t *testing.T, manifests []byte) {
	t.Helper()
	out := run(t, manifests, kubectl(t), "--kubeconfig="+openCluster(t).Kubeconfig(), "apply", "--server-side", "--dry-run=server",
		"--force-conflicts", "--validate=strict", "--filename=-")
	t.Logf("%s", out)
	if n, want := strings.Count(string(out), "(server dry run)"), objects(manifests); n != want || n == 0 {
		t.Errorf("the API server took %d of %d objects", n, want)
	}
}

// skip skips the test, unless REQUIRE_MANIFESTS says that nothing may be missing.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("REQUIRE_MANIFESTS") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// openCluster opens the cluster of E2E_CLUSTER, without which the test is skipped.
func openCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	dir := os.Getenv("E2E_CLUSTER")
	if dir == "" {
		skip(t, "E2E_CLUSTER is not set (make test-manifests)")
	}
	c, err := cluster.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// kubectl is the one of PATH, or else that which local-up has built.
func kubectl(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("kubectl"); err == nil {
		return path
	}
	return filepath.Join(openCluster(t).Bin, "kubectl")
}

// helm renders the chart (see build/helm/render).
func helm(t *testing.T, args ...string) []byte {
	t.Helper()
	render := os.Getenv("RENDER")
	if render == "" {
		skip(t, "RENDER is not set (make test-manifests)")
	}
	return run(t, nil, render, append(append([]string{"-namespace=kubeedge"}, args...), chart)...)
}

func run(t *testing.T, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...) // also in a Cleanup
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
		skip(t, "KubeEdge is not in the module cache")
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
