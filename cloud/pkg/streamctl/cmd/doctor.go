// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/cloud/pkg/streamctl/doctor"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/streamserver"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/target"
)

func newDoctor(t *tool) *cobra.Command {
	var everywhere, probe bool
	var probeTime time.Duration
	var output string
	cmd := &cobra.Command{
		Use:   "doctor [RULE[/PATH]]",
		Short: "Find out why a stream cannot be watched, and what to do",
		Long: "Walk the way from the API server over the rule to the camera, and say where it is broken and what to do about it.\n\n" +
			"A camera is read only while somebody watches: --probe watches for some seconds, so that it shows whether the camera answers.\n" +
			"The exit code is 1 if something is wrong.",
		Example: "  kubectl streams doctor\n  kubectl streams doctor gate/camera --probe\n  kubectl streams doctor -A -o json",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: t.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.clients()
			if err != nil {
				return err
			}
			d := doctor.Doctor{
				Kubernetes: c.kubernetes, Rules: c.rules, Namespace: c.namespace,
				Connect: func(ctx context.Context) (*streamserver.Client, error) {
					return streamserver.Connect(ctx, c.config, t.server)
				},
			}
			if probe {
				d.Probe = probeTime
			}
			var ref *target.Ref
			switch {
			case len(args) == 0 && everywhere:
				d.Namespace = metav1.NamespaceAll
			case everywhere:
				return fmt.Errorf("%s is of one namespace: leave -A out", args[0])
			case len(args) == 1:
				r, err := target.Parse(args[0], t.node)
				if err != nil {
					return err
				}
				ref = &r
			}
			report, err := d.Run(cmd.Context(), ref)
			if err != nil {
				return err
			}
			return t.printReport(report, output)
		},
	}
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "streams of all namespaces")
	cmd.Flags().BoolVar(&probe, "probe", false, "watch each stream for a while, which starts its camera")
	cmd.Flags().DurationVar(&probeTime, "probe-time", 5*time.Second, "how long")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	return cmd
}

func (t *tool) printReport(r *doctor.Report, output string) error {
	var err error
	switch output {
	case "":
		err = r.Print(t.Out)
	case outputJSON:
		err = printJSON(t.Out, r)
	default:
		return fmt.Errorf("-o %s: want json", output)
	}
	if err == nil && !r.Healthy {
		return errSilent
	}
	return err
}
