// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Command render prints what "helm template --include-crds" prints of a chart. It is Helm's own engine without the rest of Helm,
// which takes minutes to build; with -kubeconfig, templates may look things up as in "helm install".
//
//	render [-kubeconfig FILE] [-namespace NAME] [-show-only TEMPLATE] [-set K=V]... [-set-file K=FILE]... CHART
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/strvals"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	err := run(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

// kubernetes is the version that the chart is rendered for: that of the API server that local-up runs.
const kubernetes = "v1.30.0"

func run(args []string, w io.Writer) error {
	values := make(map[string]any)
	flags := flag.NewFlagSet("render", flag.ContinueOnError)
	namespace := flags.String("namespace", "default", "namespace of the release")
	kubeconfig := flags.String("kubeconfig", "", "cluster that templates may look things up in")
	only := flags.String("show-only", "", "the one template to print")
	flags.Func("set", "value `KEY=VALUE`, repeatable", func(s string) error { return strvals.ParseInto(s, values) })
	flags.Func("set-file", "value `KEY=FILE`, repeatable", func(s string) error {
		return strvals.ParseIntoFile(s, values, func(file []rune) (any, error) {
			data, err := os.ReadFile(string(file))
			return string(data), err
		})
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("want one chart")
	}
	c, err := loader.Load(flags.Arg(0))
	if err != nil {
		return fmt.Errorf("reading the chart: %w", err)
	}
	rendered, err := render(c, values, *namespace, *kubeconfig)
	if err != nil {
		return err
	}
	return show(w, c, rendered, *only)
}

// render returns the text of each template by its name.
func render(c *chart.Chart, values map[string]any, namespace, kubeconfig string) (map[string]string, error) {
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = chartutil.KubeVersion{Version: kubernetes, Major: "1", Minor: "30"}
	if want := c.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, kubernetes) {
		return nil, fmt.Errorf("the chart is for Kubernetes %s, not %s", want, kubernetes)
	}
	release := chartutil.ReleaseOptions{Name: "datastream", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, release, capabilities)
	if err != nil {
		return nil, fmt.Errorf("merging values: %w", err)
	}
	var e engine.Engine
	if kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("reading the kubeconfig: %w", err)
		}
		e = engine.New(config)
	}
	rendered, err := e.Render(c, all)
	if err != nil {
		return nil, fmt.Errorf("rendering: %w", err)
	}
	return rendered, nil
}

// show prints the CRDs and every manifest, or the one template that was asked for.
func show(w io.Writer, c *chart.Chart, rendered map[string]string, only string) error {
	documents := make(map[string]string)
	if only == "" {
		for _, crd := range c.CRDObjects() {
			documents[crd.Filename] = string(crd.File.Data)
		}
	}
	for name, text := range rendered {
		switch within := strings.TrimPrefix(name, c.Name()+"/"); {
		case only != "" && within != only, strings.TrimSpace(text) == "":
		case only == "" && (path.Ext(name) == ".txt" || strings.HasPrefix(path.Base(name), "_")): // notes and helpers
		default:
			documents[name] = text
		}
	}
	if len(documents) == 0 {
		return errors.New("nothing is rendered")
	}
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		if _, err := fmt.Fprintf(w, "---\n# Source: %s\n%s\n", name, strings.TrimPrefix(documents[name], "---\n")); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	return nil
}
