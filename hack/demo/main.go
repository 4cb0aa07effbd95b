// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows the whole path on one machine: a simulated camera (or a real one), the edge module, the cloud modules and a
// URL to watch. Cloud and edge are joined by a relay in place of CloudHub and EdgeHub, and the rules lie in client-go's
// in-memory object tracker in place of kube-apiserver; all else is what runs in a cluster.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/harness"
)

//go:embed rules/*.yaml
var embedded embed.FS

const (
	namespace = "default"
	node      = "edge-1"
	endpoint  = "demo-camera"
	viewPath  = "/node/edge-1/demo/camera-001"
)

type options struct {
	camera string
	listen string
	rules  string
	open   bool
}

func main() {
	var o options
	flag.StringVar(&o.camera, "camera", "", "a real camera, rtsp://user:password@host/path, instead of the simulated one")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:10005", "address for viewers")
	flag.StringVar(&o.rules, "rules", "", "folder of YAML files with other rules")
	flag.BoolVar(&o.open, "open", false, "open the page in a browser")
	klog.InitFlags(nil)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	klog.Flush()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, remove, err := harness.TempDir()
	if err != nil {
		return err
	}
	defer remove()
	if o.camera == "" {
		simulated, err := camera.Start(camera.Config{})
		if err != nil {
			return fmt.Errorf("starting the simulated camera: %w", err)
		}
		defer simulated.Close()
		o.camera = simulated.URL()
	}
	source, err := url.Parse(o.camera)
	if err != nil {
		return errors.New("-camera is not a URL") // the error would show its password
	}
	cluster, err := harness.Start(harness.Options{
		Node: node, Dir: dir, ListenViewers: o.listen,
		Tune: func(cloud *v1alpha1.CloudDataStream, _ *v1alpha1.EdgeDataStream) {
			cloud.Stream.ExposeUnauthenticated = true // whoever writes -listen wants that
		},
	})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	ready, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := cluster.WaitReady(ready); err != nil {
		return err
	}
	if err := applyRules(ctx, cluster, o); err != nil {
		return err
	}
	page := "http://" + cluster.Viewers + viewPath
	fmt.Printf(`
Camera  %s
Watch   %s

Also    ffplay '%[2]s?format=ts'
        curl -N '%[2]s' > clip.mp4
        curl -d '{"action":"pause"}' '%[2]s'     (start, pause, resume, stop)
        curl '%[2]s?format=state'

Ctrl-C ends it.
`, source.Redacted(), page)
	if o.open {
		openBrowser(ctx, page)
	}
	<-ctx.Done()
	return nil
}

// applyRules applies the YAML files, and points the demo's endpoint at the camera.
func applyRules(ctx context.Context, cluster *harness.Cluster, o options) error {
	rules, err := fs.Sub(embedded, "rules")
	if err != nil {
		return err
	}
	if o.rules != "" {
		rules = os.DirFS(o.rules)
	}
	files, err := fs.Glob(rules, "*.yaml")
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no *.yaml in %s", o.rules)
	}
	for _, file := range files {
		manifests, err := fs.ReadFile(rules, file)
		if err != nil {
			return fmt.Errorf("reading rules: %w", err)
		}
		if err := harness.Apply(ctx, cluster.Client, manifests); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	endpoints := cluster.Client.StreamrulesV1alpha1().StreamRuleEndpoints(namespace)
	e, err := endpoints.Get(ctx, endpoint, metav1.GetOptions{})
	if err != nil {
		return nil //nolint:nilerr // other rules may name their cameras themselves
	}
	e.Spec.URL = o.camera
	if _, err := endpoints.Update(ctx, e, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("setting the camera's URL: %w", err)
	}
	return nil
}

// openBrowser shows the page with what the system opens URLs with. Who has no browser has read the URL.
func openBrowser(ctx context.Context, page string) {
	command := "xdg-open"
	if runtime.GOOS == "darwin" {
		command = "open"
	}
	if err := exec.CommandContext(ctx, command, page).Start(); err != nil {
		fmt.Printf("(cannot open a browser: %v)\n", err)
	}
}
