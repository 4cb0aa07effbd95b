// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// action is one of the control API.
type action struct{ name, short string }

var actions = [...]action{
	{"start", "Have a camera read now, with or without viewers; ends a pause or a stop"},
	{"pause", "Freeze the picture; the camera's session stays open"},
	{"resume", "End a pause"},
	{"stop", "Close the camera's session, and keep it closed whoever comes, until start"},
}

func newControl(t *tool, a action) *cobra.Command {
	return &cobra.Command{
		Use:     a.name + " RULE[/PATH]",
		Short:   a.short,
		Long:    a.short + ".\n\nRULE alone is all streams of the rule. Needs the right to update streamrules/control (ClusterRole datastream-operator).",
		Example: fmt.Sprintf("  kubectl streams %[1]s gate/camera\n  kubectl streams %[1]s gate -n yard", a.name),
		Args:    cobra.ExactArgs(1), ValidArgsFunction: t.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.clients()
			if err != nil {
				return err
			}
			targets, err := t.selected(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			server, err := t.connect(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer server.Close()
			refused := false
			for i := range targets {
				s := &targets[i]
				answer, err := server.Control(cmd.Context(), s.Key, a.name)
				if err != nil {
					fmt.Fprintf(t.ErrOut, "%s on %s: %v\n", s, s.Key.Node, err)
					refused = true
					continue
				}
				fmt.Fprintf(t.Out, "%s on %s: %s; it is %s\n", s, s.Key.Node, outcome(a.name, answer.Desired), answer.State)
			}
			if refused {
				return errSilent
			}
			return nil
		},
	}
}

// outcome says what the node is asked for after an action.
func outcome(action string, desired tunnel.Action) string {
	switch {
	case desired != tunnel.Stop:
		return "the node is asked to " + string(desired)
	case action == string(tunnel.Pause):
		return "nobody watches it now, and who comes finds it paused"
	default:
		return "the node is asked to stop, or not to start while nobody watches"
	}
}
