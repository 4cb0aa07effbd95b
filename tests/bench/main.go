// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench prints what it costs to deliver a stream: CPU time of the server process per megabyte that viewers received,
// for each output and number of viewers, beside a floor measured in the same run: a Go program that writes the
// same bytes once per frame and viewer and does nothing else. Server and viewers are separate processes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// floor is the name of the raw writer among the outputs.
const floor = "floor"

type options struct {
	outputs []string
	viewers []int
	warmup  time.Duration
	window  time.Duration
	runs    int
	profile string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		exit(serveMain(os.Args[2:]))
	}
	var outputs, viewers string
	o := options{}
	flag.StringVar(&outputs, "outputs", "mp4,ts,mse", "outputs to measure")
	flag.StringVar(&viewers, "viewers", "1,100,200", "numbers of viewers")
	flag.DurationVar(&o.warmup, "warmup", 2*time.Second, "time before each measurement")
	flag.DurationVar(&o.window, "window", 6*time.Second, "time of each measurement")
	flag.IntVar(&o.runs, "runs", 1, "runs of each measurement; the median counts")
	flag.StringVar(&o.profile, "profile", "", "folder for CPU profiles of the server, one for each row")
	flag.Parse()
	o.outputs = append([]string{floor}, strings.Split(outputs, ",")...)
	for field := range strings.SplitSeq(viewers, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			exit(fmt.Errorf("-viewers: %q is not a number of viewers", field))
		}
		o.viewers = append(o.viewers, n)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(report(ctx, o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// report measures everything and prints the table.
func report(ctx context.Context, o options) error {
	fmt.Printf("One stream, %d frames/s, %d kbit/s. CPU of the server process per delivered MB; x is the ratio to the floor.\n\n",
		frameRate, bitRate/1000)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "viewers\t")
	for _, name := range o.outputs {
		fmt.Fprintf(table, "%s ms/MB\t", name)
		if name != floor {
			fmt.Fprint(table, "x\t")
		}
	}
	fmt.Fprintln(table)
	for _, viewers := range o.viewers {
		fmt.Fprintf(table, "%d\t", viewers)
		var least float64
		for _, name := range o.outputs {
			costs := make([]float64, o.runs)
			for i := range costs {
				cost, err := measure(ctx, name, viewers, o)
				if err != nil {
					return fmt.Errorf("measuring %s with %d viewers: %w", name, viewers, err)
				}
				costs[i] = cost
			}
			slices.Sort(costs)
			median := costs[len(costs)/2]
			fmt.Fprintf(table, "%.2f\t", median)
			if name == floor {
				least = median
			} else {
				fmt.Fprintf(table, "%.2f\t", median/least)
			}
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}
