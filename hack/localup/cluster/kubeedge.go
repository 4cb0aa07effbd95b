// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"text/template"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// kubeEdgeNamespace is where cloudcore keeps what is its own.
const kubeEdgeNamespace = "kubeedge"

//go:embed cloudcore.yaml.tmpl edgecore.yaml.tmpl
var files embed.FS

// applyManifests applies KubeEdge's own CRDs, namespace and RBAC as its release has them, then ours.
func (c *Cluster) applyManifests(ctx context.Context, root string) error {
	kubeEdge, err := kubeEdgeDir(ctx, root)
	if err != nil {
		return err
	}
	config, err := c.Config()
	if err != nil {
		return err
	}
	applier, err := NewApplier(config)
	if err != nil {
		return err
	}
	var all []string
	for _, pattern := range [...]string{
		filepath.Join(kubeEdge, "build/crds/*/*.yaml"),
		filepath.Join(root, "build/crds/*/*.yaml"),
		filepath.Join(kubeEdge, "build/cloud/0[1-4]-*.yaml"),
		filepath.Join(root, "build/manifests/rbac/*.yaml"),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			return fmt.Errorf("no manifests %s: %w", pattern, err)
		}
		slices.Sort(found)
		all = append(all, found...)
	}
	for _, file := range all {
		if filepath.Base(file) == "kustomization.yaml" {
			continue // no object
		}
		if err := applier.ApplyFile(ctx, file); err != nil {
			return err
		}
	}
	return nil
}

// kubeEdgeDir is where the KubeEdge release lies that build/kubeedge builds.
func kubeEdgeDir(ctx context.Context, root string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", "github.com/kubeedge/kubeedge")
	cmd.Dir = filepath.Join(root, "build/kubeedge")
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if json.Unmarshal(out, &module) == nil && module.Dir != "" {
		return module.Dir, nil
	}
	return "", fmt.Errorf("finding KubeEdge's manifests: %s: %w", module.Error, err)
}

// configFile is the configuration of cloudcore, or else of a node's edgecore.
func (c *Cluster) configFile(name string) string {
	if name == CloudCore {
		return c.path(name, CloudCore+".yaml")
	}
	return c.path(name, edgeCore+".yaml")
}

// writeConfig fills in the template of a configuration.
func (c *Cluster) writeConfig(name string, values any) error {
	file := c.configFile(name)
	t, err := template.ParseFS(files, filepath.Base(file)+".tmpl")
	if err != nil {
		return fmt.Errorf("parsing the template of %s: %w", file, err)
	}
	var b bytes.Buffer
	if err := t.Option("missingkey=error").Execute(&b, values); err != nil {
		return fmt.Errorf("filling in %s: %w", file, err)
	}
	if err := c.write(file, b.Bytes()); err != nil || c.change == nil {
		return err
	}
	return c.Change(name, func(modules map[string]any) { c.change(name, modules) })
}

// Change changes the modules in the configuration of cloudcore or of a node, for its next start.
func (c *Cluster) Change(name string, change func(modules map[string]any)) error {
	file := c.configFile(name)
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading configuration: %w", err)
	}
	var config map[string]any
	if err := yaml.Unmarshal(data, &config); err != nil {
		return fmt.Errorf("parsing %s: %w", file, err)
	}
	modules, ok := config["modules"].(map[string]any)
	if !ok {
		return fmt.Errorf("%s has no modules", file)
	}
	change(modules)
	if data, err = yaml.Marshal(config); err != nil {
		return fmt.Errorf("encoding %s: %w", file, err)
	}
	return c.write(file, data)
}

func (c *Cluster) startCloudCore(ctx context.Context) error {
	if err := c.writeConfig(CloudCore, c); err != nil {
		return err
	}
	err := c.start(CloudCore, process{Command: []string{filepath.Join(c.Bin, CloudCore), "--config=" + c.configFile(CloudCore)}})
	if err != nil {
		return err
	}
	return c.CloudReady(ctx)
}

// CloudReady returns when nodes can join cloudcore and viewers can ask it. Stock cloudcore sleeps up to nine
// seconds before it does anything.
func (c *Cluster) CloudReady(ctx context.Context) error {
	return c.await(ctx, CloudCore, func(ctx context.Context) error {
		if _, err := c.joinToken(ctx); err != nil {
			return err
		}
		return getOK(ctx, c.Viewers()+"/readyz")
	})
}

// joinToken is what a new node shows to CloudHub.
func (c *Cluster) joinToken(ctx context.Context) (string, error) {
	config, err := c.Config()
	if err != nil {
		return "", err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("making a client: %w", err)
	}
	secret, err := client.CoreV1().Secrets(kubeEdgeNamespace).Get(ctx, "tokensecret", metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", fmt.Errorf("CloudHub has made no join token")
	case err != nil:
		return "", fmt.Errorf("reading CloudHub's join token: %w", err)
	}
	return string(secret.Data["tokendata"]), nil
}

func (c *Cluster) startEdgeCores(ctx context.Context) error {
	for _, node := range [...]string{Edge1, Edge2} {
		if err := c.startEdgeCore(ctx, node); err != nil {
			return err
		}
	}
	for _, node := range [...]string{Edge1, Edge2} {
		if err := c.await(ctx, node, func(context.Context) error { return c.joined(node) }); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startEdgeCore(ctx context.Context, node string) error {
	if c.joined(node) != nil { // else it keeps its configuration, as a real node does
		token, err := c.joinToken(ctx)
		if err != nil {
			return err
		}
		values := struct {
			*Cluster
			Node, Home, Token string
			Metrics           int
		}{c, node, c.path(node), token, c.metricsPort(node)}
		if err := c.writeConfig(node, values); err != nil {
			return err
		}
	}
	return c.start(node, process{
		Command: []string{filepath.Join(c.Bin, edgeCore), "--config=" + c.configFile(node)},
		Env:     []string{"CHECK_EDGECORE_ENVIRONMENT=false"},
	})
}

// joined fails until CloudHub has given the node its certificate.
func (c *Cluster) joined(node string) error {
	if _, err := os.Stat(c.path(node, "server.crt")); err != nil {
		return fmt.Errorf("the node has not joined: %w", err)
	}
	return nil
}

func (c *Cluster) metricsPort(node string) int {
	if node == Edge1 {
		return c.Ports.Metrics1
	}
	return c.Ports.Metrics2
}

func (c *Cluster) cameraPort(name string) int {
	if name == Camera1 {
		return c.Ports.Camera1
	}
	return c.Ports.Camera2
}

func (c *Cluster) startCameras(ctx context.Context) error {
	for name, clip := range map[string]string{Camera1: "clock", Camera2: "clock-h265"} {
		address := loopback(c.cameraPort(name))
		err := c.start(name, process{Command: []string{filepath.Join(c.Bin, "camera"), "-listen", address, "-clip", clip}})
		if err != nil {
			return err
		}
		if err := c.await(ctx, name, func(ctx context.Context) error { return dial(ctx, address) }); err != nil {
			return err
		}
	}
	return nil
}
