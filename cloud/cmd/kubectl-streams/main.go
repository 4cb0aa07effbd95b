// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-streams is a plugin of kubectl: "kubectl streams" lists, watches and controls streams, and finds out why one cannot
// be watched.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubeedge/datastream/cloud/pkg/streamctl/cmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cmd.Run(ctx, os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	stop()
	os.Exit(code)
}
