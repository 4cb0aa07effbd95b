// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package section

import (
	"fmt"
	"strings"

	"github.com/kubeedge/kubeedge/pkg/util/flag"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Component is a stock KubeEdge command together with what its configuration shows on request.
type Component struct {
	Command *cobra.Command
	// Min and Default are the configuration that --minconfig and --defaultconfig print, ours included.
	Min, Default func() (Document, error)
	// Register adds the modules that the file asks for. It runs before the stock command registers its own.
	Register func(file string, d Document) error
}

// Prepare has the stock command do our part before its own.
func Prepare(c Component) *cobra.Command {
	c.Command.PreRunE = func(cmd *cobra.Command, _ []string) error {
		cmd.SilenceUsage = true // the command line is right
		if err := c.print(); err != nil {
			return err
		}
		file := cmd.Flags().Lookup("config").Value.String()
		d, err := Read(file)
		if err != nil {
			return nil //nolint:nilerr // the stock command says so in its own words
		}
		return c.Register(file, d)
	}
	return c.Command
}

// print prints what is asked for and exits, or returns.
func (c *Component) print() error {
	least, err := c.Min()
	if err != nil {
		return err
	}
	flag.PrintMinConfigAndExitIfRequested(least)
	full, err := c.Default()
	if err != nil {
		return err
	}
	flag.PrintDefaultConfigAndExitIfRequested(full)
	return nil
}

// With returns the document of a stock configuration with sections of ours in it.
func With(config any, sections map[string]any) (Document, error) {
	d, err := Of(config)
	if err != nil {
		return nil, err
	}
	for name, section := range sections {
		d.Set(name, section)
	}
	return d, nil
}

// Error is one line for each field, nil without any.
func Error(file string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	lines := make([]string, len(errs))
	for i, err := range errs {
		lines[i] = "\n  " + err.Error()
	}
	return fmt.Errorf("configuration %s:%s", file, strings.Join(lines, ""))
}
