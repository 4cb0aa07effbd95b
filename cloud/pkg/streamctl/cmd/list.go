// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/kubeedge/datastream/cloud/pkg/streamctl/streamserver"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/target"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
)

const (
	outputJSON = "json"
	outputName = "name"
	outputWide = "wide"
)

func newList(t *tool) *cobra.Command {
	var everywhere bool
	var output string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls", "get"},
		Short:   "List streams with their states",
		Example: "  kubectl streams list\n  kubectl streams list -A -o wide\n  kubectl streams list -o json | jq '.[] | select(.state == \"failed\")'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.clients()
			if err != nil {
				return err
			}
			if everywhere {
				c.namespace = metav1.NamespaceAll
			}
			rules, err := c.rules.StreamrulesV1alpha1().StreamRules(c.namespace).List(cmd.Context(), metav1.ListOptions{})
			if err != nil {
				return err
			}
			return t.printList(rules.Items, everywhere, output)
		},
	}
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "streams of all namespaces")
	cmd.Flags().StringVarP(&output, "output", "o", "", "wide, json or name")
	return cmd
}

// listed is a stream for programs.
type listed struct {
	Namespace string                       `json:"namespace"`
	Rule      string                       `json:"rule"`
	Path      string                       `json:"path"`
	Node      string                       `json:"node"`
	Endpoint  string                       `json:"endpoint"`
	URL       string                       `json:"url"` // its path
	State     string                       `json:"state"`
	Status    *v1alpha1.StreamTargetStatus `json:"status,omitempty"`
}

func (t *tool) printList(rules []v1alpha1.StreamRule, everywhere bool, output string) error {
	var all []target.Target
	for i := range rules {
		for _, s := range target.Of(&rules[i]) {
			if t.node == "" || s.Key.Node == t.node {
				all = append(all, s)
			}
		}
	}
	switch output {
	case "", outputWide:
		if len(all) == 0 {
			fmt.Fprintln(t.ErrOut, "No streams found.")
			return nil
		}
		options := printers.PrintOptions{Wide: output == outputWide}
		return printers.NewTablePrinter(options).PrintObj(table(all, everywhere), t.Out)
	case outputName:
		for i := range all {
			fmt.Fprintln(t.Out, all[i].String())
		}
		return nil
	case outputJSON:
		list := make([]listed, len(all))
		for i := range all {
			s := &all[i]
			list[i] = listed{s.Key.Namespace, s.Key.Rule, s.Key.Path, s.Key.Node, s.Endpoint, streamserver.Path(s.Key), state(s), s.Status}
		}
		return printJSON(t.Out, list)
	default:
		return fmt.Errorf("-o %s: want wide, json or name", output)
	}
}

// state is never empty.
func state(s *target.Target) string {
	if s.Status == nil {
		return "unknown" // the controller has not seen the rule yet
	}
	return string(s.Status.State)
}

func table(all []target.Target, everywhere bool) *metav1.Table {
	t := &metav1.Table{}
	column := func(name string, priority int32) {
		t.ColumnDefinitions = append(t.ColumnDefinitions, metav1.TableColumnDefinition{Name: name, Type: "string", Priority: priority})
	}
	if everywhere {
		column("Namespace", 0)
	}
	for _, name := range []string{"Rule", "Path", "Node", "State", "Reason", "Codecs", "Viewers", "Since"} {
		column(name, 0)
	}
	for _, name := range []string{"Endpoint", "URL", "Message"} {
		column(name, 1)
	}
	for i := range all {
		s := &all[i]
		status := s.Status
		if status == nil {
			status = &v1alpha1.StreamTargetStatus{}
		}
		var cells []any
		if everywhere {
			cells = append(cells, s.Key.Namespace)
		}
		t.Rows = append(t.Rows, metav1.TableRow{Cells: append(cells,
			s.Key.Rule, s.Key.Path, s.Key.Node, state(s), status.Reason, strings.Join(status.Codecs, ","), status.Viewers, since(status),
			s.Endpoint, streamserver.Path(s.Key), status.Message)})
	}
	return t
}

func since(s *v1alpha1.StreamTargetStatus) string {
	if s.LastTransitionTime == nil {
		return ""
	}
	return duration.HumanDuration(time.Since(s.LastTransitionTime.Time))
}

func printJSON(out io.Writer, value any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}
