// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster runs a whole KubeEdge cluster on one machine, without a container runtime: etcd, kube-apiserver,
// cloudcore, two edgecores and two simulated cameras, each a process of its own on the loopback. Everything it
// writes is in one folder. The processes outlive the program that started them; whoever opens the folder can end or fault them.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// The edge nodes, and the cameras, of which each has a clip with another codec: clock is H.264, clock-h265 is H.265.
const (
	Edge1   = "edge-1"
	Edge2   = "edge-2"
	Camera1 = "camera-1"
	Camera2 = "camera-2"
)

// Names of the other processes.
const (
	Etcd      = "etcd"
	APIServer = "kube-apiserver"
	CloudCore = "cloudcore"
)

// edgeCore is the program that runs as each of the nodes.
const edgeCore = "edgecore"

// startOrder is that of the processes; they end in the reverse one.
var startOrder = [...]string{Etcd, APIServer, CloudCore, Camera1, Camera2, Edge1, Edge2}

// stateFile marks a folder as a cluster's.
const stateFile = "cluster.json"

// Options are what may differ between clusters.
type Options struct {
	// Dir is where the cluster lives. It may exist only as what an earlier cluster left.
	Dir string
	// Root is the root of the repository.
	Root string
	// Bin is where the programs are: see Build.
	Bin string
	// Ports: see NewPorts.
	Ports Ports
	// Keep starts from the etcd, the certificates and the databases that an earlier cluster left, at its ports.
	Keep bool
	// Change, if there is one, may change the modules of cloudcore.yaml and of each edgecore.yaml that is written. The name is
	// that of the process.
	Change func(name string, modules map[string]any)
	// Log takes a line for each step.
	Log io.Writer
}

// Cluster is a cluster that runs, or did.
type Cluster struct {
	// Dir is where the cluster lives, absolute.
	Dir string `json:"dir"`
	// Bin is where the programs are.
	Bin string `json:"bin"`
	// Ports of the loopback.
	Ports Ports `json:"ports"`

	log      io.Writer
	change   func(name string, modules map[string]any)
	children map[string]*exec.Cmd // those of this program, which must collect them
}

// Open returns the cluster of a folder, whether it runs or not.
func Open(dir string) (*Cluster, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, fmt.Errorf("opening cluster: %w", err)
	}
	c := &Cluster{log: io.Discard, children: make(map[string]*exec.Cmd)}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("opening cluster: parsing %s: %w", stateFile, err)
	}
	return c, nil
}

// Up starts a cluster and returns when it works: every program is ready and both nodes have joined. What was
// started before an error goes on running, so that it can be looked at; Down ends it.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	c, err := prepare(o)
	if err != nil {
		return nil, err
	}
	for _, step := range [...]struct {
		name string
		run  func(context.Context) error
	}{
		{"certificates", c.makeCertificates},
		{Etcd, c.startEtcd},
		{APIServer, c.startAPIServer},
		{"CRDs and RBAC", func(ctx context.Context) error { return c.applyManifests(ctx, o.Root) }},
		{CloudCore, c.startCloudCore},
		{"cameras", c.startCameras},
		{"edgecores", c.startEdgeCores},
	} {
		began := time.Now()
		fmt.Fprintf(c.log, "%-16s", step.name)
		if err := step.run(ctx); err != nil {
			fmt.Fprintln(c.log, "failed")
			return c, fmt.Errorf("starting %s: %w", step.name, err)
		}
		fmt.Fprintf(c.log, "ready after %.1f s\n", time.Since(began).Seconds())
	}
	return c, nil
}

func prepare(o Options) (*Cluster, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the folder: %w", err)
	}
	bin, err := filepath.Abs(o.Bin)
	if err != nil {
		return nil, fmt.Errorf("finding the programs: %w", err)
	}
	ports := o.Ports
	old, err := Open(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = unused(dir)
	case err == nil && len(old.Running()) > 0:
		err = fmt.Errorf("%s runs already in %s: take it down first", old.Running()[0], dir)
	case err == nil && o.Keep:
		ports = old.Ports
	}
	if err == nil {
		err = ports.free()
	}
	if err == nil && !o.Keep {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, Bin: bin, Ports: ports, log: o.Log, change: o.Change, children: make(map[string]*exec.Cmd)}
	for _, sub := range []string{"logs", "run", "pki"} {
		if err := os.MkdirAll(c.path(sub), 0o700); err != nil {
			return nil, fmt.Errorf("making the cluster's folder: %w", err)
		}
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the cluster's state: %w", err)
	}
	return c, c.write(c.path(stateFile), data)
}

// unused fails if the folder holds something: it is not ours to remove.
func unused(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty and holds no cluster: choose another folder", dir)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("looking at the folder: %w", err)
	}
	return nil
}

// Down ends every process of the cluster that still runs.
func (c *Cluster) Down(ctx context.Context) error {
	var errs []error
	for i := range startOrder {
		errs = append(errs, c.Stop(ctx, startOrder[len(startOrder)-1-i]))
	}
	return errors.Join(errs...)
}

// Running names the processes that run, in the order of their start.
func (c *Cluster) Running() []string {
	var running []string
	for _, name := range startOrder {
		if c.Alive(name) {
			running = append(running, name)
		}
	}
	return running
}

// Names returns those of all processes, in the order of their start.
func Names() []string { return startOrder[:] }

// Kubeconfig is the administrator's.
func (c *Cluster) Kubeconfig() string { return c.path("kubeconfig") }

// Config is how the administrator reaches the API server.
func (c *Cluster) Config() (*rest.Config, error) { return restConfig(c.Kubeconfig()) }

// CloudCoreConfig is how cloudcore reaches the API server: with what RBAC grants it.
func (c *Cluster) CloudCoreConfig() (*rest.Config, error) {
	return restConfig(c.path(CloudCore, "kubeconfig"))
}

func restConfig(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", kubeconfig, err)
	}
	config.QPS, config.Burst = 100, 200
	return config, nil
}

// Viewers is the URL below which viewers find streams.
func (c *Cluster) Viewers() string { return "http://" + loopback(c.Ports.Viewers) }

// CameraURL is that of a camera.
func (c *Cluster) CameraURL(name string) string {
	return "rtsp://" + loopback(c.cameraPort(name)) + "/stream"
}

func (c *Cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.Dir}, parts...)...)
}

// write writes a file of the cluster, for its owner only.
func (c *Cluster) write(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
