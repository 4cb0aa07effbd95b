// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Command localup starts, ends and looks at a KubeEdge cluster on this machine (see package cluster).
//
//	localup up|down|status [flags]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kubeedge/datastream/hack/localup/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "localup:", err)
		os.Exit(1) //nolint:gocritic // the signals no longer matter
	}
}

// arguments of the command line.
type arguments struct {
	dir, bin string
	kubeEdge string
	ports    int
	keep     bool
	samples  bool
}

func run(ctx context.Context, args []string) error {
	commands := map[string]func(context.Context, *arguments) error{"up": up, "down": down, "status": status}
	usage := errors.New("usage: localup up|down|status [flags]")
	if len(args) == 0 {
		return usage
	}
	command, ok := commands[args[0]]
	if !ok {
		return usage
	}
	var a arguments
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&a.dir, "dir", "_output/local-up", "folder of the cluster")
	flags.StringVar(&a.bin, "bin", "_output/bin", "folder of the programs")
	flags.StringVar(&a.kubeEdge, "kubeedge-ldflags", "", "up: build cloudcore and edgecore too, with these flags for the linker")
	flags.IntVar(&a.ports, "ports", cluster.DefaultPorts, "first of 17 ports; 0 takes any that are free")
	flags.BoolVar(&a.keep, "keep", false, "up: keep what the last cluster in this folder knew")
	flags.BoolVar(&a.samples, "samples", true, "up: apply "+samples)
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return usage
	}
	return command(ctx, &a)
}

func up(ctx context.Context, a *arguments) error {
	root, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("finding the repository: %w", err)
	}
	if _, err := os.Stat(samples); err != nil {
		return fmt.Errorf("run this in the root of the repository: %w", err)
	}
	if err := cluster.Build(ctx, root, a.bin, a.kubeEdge, os.Stdout); err != nil {
		return err
	}
	ports, err := cluster.NewPorts(a.ports)
	if err != nil {
		return err
	}
	began := time.Now()
	c, err := cluster.Up(ctx, cluster.Options{Dir: a.dir, Root: root, Bin: a.bin, Ports: ports, Keep: a.keep, Log: os.Stdout})
	switch {
	case c == nil:
		return err
	case err != nil:
		return fmt.Errorf("%w\nwhat was started goes on; go run ./hack/localup down -dir %s ends it", err, a.dir)
	}
	manifest := ""
	if a.samples {
		if manifest, err = applySamples(ctx, c, os.Stdout); err != nil {
			return err
		}
	}
	fmt.Printf("\nThe cluster runs, after %.0f s. It ends with\n  go run ./hack/localup down -dir %s\n", time.Since(began).Seconds(), a.dir)
	fmt.Printf("\nTry\n  export KUBECONFIG=%s\n  export KUBECTL_STREAMS_SERVER=%s\n", c.Kubeconfig(), c.Viewers())
	if a.samples {
		fmt.Printf("  kubectl get streamrules,streamruleendpoints\n  kubectl describe streamrule cameras\n  kubectl apply --server-side -f %s\n", manifest)
		fmt.Printf("\nWatch\n  %s/node/edge-1/cameras/camera-1\n  %s/node/edge-2/cameras/camera-2\n", c.Viewers(), c.Viewers())
	}
	return nil
}

func down(ctx context.Context, a *arguments) error {
	c, err := cluster.Open(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // never was up
	}
	if err != nil {
		return err
	}
	return c.Down(ctx)
}

func status(_ context.Context, a *arguments) error {
	c, err := cluster.Open(a.dir)
	if err != nil {
		return err
	}
	for _, name := range cluster.Names() {
		state := "ended"
		if c.Alive(name) {
			state = "runs"
		}
		fmt.Printf("%-16s%-7s%s\n", name, state, c.LogFile(name))
	}
	return nil
}
