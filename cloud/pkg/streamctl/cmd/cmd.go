// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cmd holds the commands of kubectl streams.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubeedge/datastream/cloud/pkg/streamctl/streamserver"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/target"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
)

// errSilent ends a command with exit code 1 that has said already why.
var errSilent = errors.New("failed")

// Run runs the program until it is done or ctx ends, and returns its exit code.
func Run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	root := newRoot(streams)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil, ctx.Err() != nil:
		return 0
	case !errors.Is(err, errSilent):
		fmt.Fprintln(streams.ErrOut, "error:", err)
	}
	return 1
}

func newRoot(streams genericiooptions.IOStreams) *cobra.Command {
	t := &tool{config: genericclioptions.NewConfigFlags(true), IOStreams: streams}
	// No way around the verification of certificates. Nobody can be impersonated either: the StreamServer would not follow.
	t.config.Insecure = nil
	t.config.CacheDir, t.config.DisableCompression = nil, nil // nothing is cached
	t.config.Impersonate, t.config.ImpersonateUID, t.config.ImpersonateGroup = nil, nil, nil
	root := &cobra.Command{
		Use:   "streams",
		Short: "List, watch and control streams, and find out why one cannot be watched",
		Long: "List, watch and control the streams of KubeEdge's edge nodes, and find out why one cannot be watched.\n\n" +
			"RULE/PATH names one stream, RULE all of a StreamRule.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetUsageTemplate(strings.NewReplacer("{{.UseLine}}", "kubectl {{.UseLine}}", "{{.CommandPath}}", "kubectl {{.CommandPath}}").Replace(root.UsageTemplate()))
	root.CompletionOptions.DisableDefaultCmd = true // kubectl has its own
	t.config.AddFlags(root.PersistentFlags())
	t.server.AddFlags(root.PersistentFlags())
	root.PersistentFlags().StringVar(&t.node, "node", "", "only streams of this node")
	root.AddCommand(newList(t), newDescribe(t), newWatch(t), newSnapshot(t), newDoctor(t))
	for _, action := range actions {
		root.AddCommand(newControl(t, action))
	}
	return root
}

// tool is what all commands share.
type tool struct {
	genericiooptions.IOStreams
	config *genericclioptions.ConfigFlags
	server streamserver.Options
	node   string
}

// clients reach the API server.
type clients struct {
	config     *rest.Config
	kubernetes kubernetes.Interface
	rules      versioned.Interface
	namespace  string
}

func (t *tool) clients() (*clients, error) {
	config, err := t.config.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if *t.config.BearerToken != "" {
		// --token says who asks. The API server would take the kubeconfig's client certificate first, and the StreamServer knows the token only.
		config.CertFile, config.KeyFile, config.CertData, config.KeyData = "", "", nil, nil
	}
	c := &clients{config: config}
	if c.namespace, _, err = t.config.ToRawKubeConfigLoader().Namespace(); err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if c.kubernetes, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	if c.rules, err = versioned.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return c, nil
}

// selected returns the streams that RULE[/PATH] names, at least one.
func (t *tool) selected(ctx context.Context, c *clients, arg string) ([]target.Target, error) {
	ref, err := target.Parse(arg, t.node)
	if err != nil {
		return nil, err
	}
	rule, err := c.rules.StreamrulesV1alpha1().StreamRules(c.namespace).Get(ctx, ref.Rule, metav1.GetOptions{})
	if err != nil {
		return nil, err // the API server's words say it all
	}
	return ref.Select(rule)
}

// one returns the only stream that RULE[/PATH] names, and the StreamServer, which the caller closes.
func (t *tool) one(ctx context.Context, arg string) (*target.Target, *streamserver.Client, error) {
	c, err := t.clients()
	if err != nil {
		return nil, nil, err
	}
	targets, err := t.selected(ctx, c, arg)
	if err != nil {
		return nil, nil, err
	}
	if len(targets) > 1 {
		return nil, nil, fmt.Errorf("%s names %d streams, say which: %s (--node tells apart what is on several nodes)", arg, len(targets), target.Names(targets))
	}
	server, err := t.connect(ctx, c)
	return &targets[0], server, err
}

func (t *tool) connect(ctx context.Context, c *clients) (*streamserver.Client, error) {
	server, err := streamserver.Connect(ctx, c.config, t.server)
	var why *streamserver.ConnectError
	if errors.As(err, &why) {
		return nil, fmt.Errorf("%w\ntry: %s", err, why.Next)
	}
	return server, err
}

// complete offers RULE/PATH.
func (t *tool) complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := t.clients()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	rules, err := c.rules.StreamrulesV1alpha1().StreamRules(c.namespace).List(cmd.Context(), metav1.ListOptions{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for i := range rules.Items {
		for _, s := range target.Of(&rules.Items[i]) {
			names = append(names, s.String())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
