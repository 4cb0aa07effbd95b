// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/streamserver"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/target"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
)

func newDescribe(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:     "describe RULE[/PATH]",
		Short:   "Show everything that is known of a rule's streams",
		Example: "  kubectl streams describe gate\n  kubectl streams describe gate/camera -n yard",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: t.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			c, err := t.clients()
			if err != nil {
				return err
			}
			ref, err := target.Parse(args[0], t.node)
			if err != nil {
				return err
			}
			rule, err := c.rules.StreamrulesV1alpha1().StreamRules(c.namespace).Get(ctx, ref.Rule, metav1.GetOptions{})
			if err != nil {
				return err
			}
			targets, err := ref.Select(rule)
			if err != nil {
				return err
			}
			server, err := streamserver.Connect(ctx, c.config, t.server)
			if err == nil {
				defer server.Close()
			}
			d := description{clients: c, server: server, unreachable: err, w: tabwriter.NewWriter(t.Out, 0, 0, 2, ' ', 0)}
			d.rule(ctx, rule, targets)
			return d.w.Flush()
		},
	}
}

// description writes what describe says.
type description struct {
	*clients
	server      *streamserver.Client
	unreachable error // why there is no server
	w           interface {
		io.Writer
		Flush() error
	}
}

// line writes a name and a value, if there is one.
func (d *description) line(indent int, name, value string) {
	if value != "" {
		fmt.Fprintf(d.w, "%s%s:\t%s\n", strings.Repeat("  ", indent), name, value)
	}
}

func (d *description) rule(ctx context.Context, rule *v1alpha1.StreamRule, targets []target.Target) {
	d.line(0, "Rule", rule.Name)
	d.line(0, "Namespace", rule.Namespace)
	d.line(0, "Created", age(&rule.CreationTimestamp)+" ago")
	if d.unreachable != nil {
		d.line(0, "StreamServer", "out of reach: "+d.unreachable.Error())
	} else {
		d.line(0, "StreamServer", d.server.Address())
	}
	for i := range rule.Status.Conditions {
		d.condition(0, &rule.Status.Conditions[i])
	}
	for i := range targets {
		d.stream(ctx, &targets[i])
	}
	d.events(ctx, rule)
}

func (d *description) condition(indent int, c *metav1.Condition) {
	d.line(indent, c.Type, fmt.Sprintf("%s (%s, for %s): %s", c.Status, c.Reason, age(&c.LastTransitionTime), c.Message))
}

func (d *description) stream(ctx context.Context, s *target.Target) {
	fmt.Fprintf(d.w, "\nStream %s\n", s)
	d.line(1, "Node", s.Key.Node)
	d.endpoint(ctx, s)
	if s.Status != nil && s.Status.LastTransitionTime != nil {
		d.line(1, "In this state for", age(s.Status.LastTransitionTime))
	}
	if d.server != nil {
		d.line(1, "URL", d.server.URL(s.Key, nil))
		state, err := d.server.State(ctx, s.Key)
		if err == nil {
			d.state(state)
			return
		}
		d.line(1, "StreamServer", err.Error())
	} else {
		d.line(1, "URL", streamserver.Path(s.Key))
	}
	if status := s.Status; status != nil {
		d.doing(string(status.State), status.Reason, status.Message)
		d.line(1, "Tracks", strings.Join(status.Codecs, ", "))
		d.line(1, "Viewers", fmt.Sprint(status.Viewers))
	}
}

// doing is the same from the rule's status and from the StreamServer, of which the latter is newer.
func (d *description) doing(state, reason, message string) {
	tunnel := "connected"
	if !v1alpha1.TargetState(state).Connected() {
		tunnel = "down"
	}
	d.line(1, "Tunnel", tunnel)
	d.line(1, "State", state)
	d.line(1, "Reason", reason)
	d.line(1, "Message", message)
}

func (d *description) state(s *output.Status) {
	d.doing(s.State, s.Reason, s.Message)
	for _, t := range s.Tracks {
		value := string(t.Codec)
		if t.Width > 0 {
			value += fmt.Sprintf(" %dx%d", t.Width, t.Height)
		}
		d.line(1, "Track", fmt.Sprintf("%s, %s", t.Kind, value))
	}
	for _, skipped := range s.Skipped {
		d.line(1, "Track", skipped.Codec+", left out: "+skipped.Reason)
	}
	d.line(1, "Viewers", fmt.Sprint(s.Viewers))
	if !s.LastUnit.IsZero() {
		d.line(1, "Last frame", duration.HumanDuration(time.Since(s.LastUnit))+" ago")
	}
}

func (d *description) endpoint(ctx context.Context, s *target.Target) {
	endpoint, err := d.rules.StreamrulesV1alpha1().StreamRuleEndpoints(s.Key.Namespace).Get(ctx, s.Endpoint, metav1.GetOptions{})
	if err != nil {
		d.line(1, "Endpoint", fmt.Sprintf("%s (%v)", s.Endpoint, err))
		return
	}
	d.line(1, "Endpoint", s.Endpoint)
	source, credentials := redacted(endpoint.Spec.URL)
	d.line(1, "Source", source)
	if ref := endpoint.Spec.CredentialsSecretRef; ref != nil {
		credentials = "Secret " + ref.Name
	}
	d.line(1, "Credentials", credentials)
	for name := range endpoint.Spec.Properties {
		d.line(1, "Property", name)
	}
	for i := range endpoint.Status.Conditions {
		c := &endpoint.Status.Conditions[i]
		c.Type = "Endpoint " + strings.ToLower(c.Type)
		d.condition(1, c)
	}
}

// redacted is a URL without user and password, and whether it had any.
func redacted(raw string) (source, credentials string) {
	u, err := url.Parse(raw)
	if err != nil {
		return "a URL that cannot be parsed", ""
	}
	if u.User == nil {
		return u.String(), "none"
	}
	u.User = nil
	return u.String(), "in the URL"
}

func (d *description) events(ctx context.Context, rule *v1alpha1.StreamRule) {
	events, err := d.kubernetes.CoreV1().Events(rule.Namespace).List(ctx, metav1.ListOptions{FieldSelector: fields.Set{
		"involvedObject.kind": "StreamRule", "involvedObject.name": rule.Name, "involvedObject.uid": string(rule.UID),
	}.String()})
	if err != nil {
		fmt.Fprintf(d.w, "\nEvents: %v\n", err)
		return
	}
	if len(events.Items) == 0 {
		fmt.Fprintf(d.w, "\nEvents: none\n")
		return
	}
	fmt.Fprintf(d.w, "\nEvents:\n")
	for i := range events.Items {
		e := &events.Items[i]
		fmt.Fprintf(d.w, "  %s\t%s\t%s\t%s\n", age(&e.LastTimestamp), e.Type, e.Reason, e.Message)
	}
}

func age(t *metav1.Time) string { return duration.HumanDuration(time.Since(t.Time)) }
