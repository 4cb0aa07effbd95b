// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// key is the stream that is measured.
var key = tunnel.StreamKey{Node: "edge-1", Namespace: "default", Rule: "bench", Path: "/camera"}

// addresses is the first line that the server process prints. Each line on its standard input asks for one
// with its CPU time so far, in nanoseconds; the end of input ends it.
type addresses struct {
	Tunnels string
	Viewers string
}

// serveMain is the server process.
func serveMain(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	output := flags.String("output", floor, "what to serve")
	dir := flags.String("certificates", "", "folder with ca.crt, server.crt and server.key")
	profile := flags.String("profile", "", "file for a CPU profile")
	_ = flags.Parse(args) // exits on errors

	var lc net.ListenConfig
	viewers, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for viewers: %w", err)
	}
	tunnels, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for edges: %w", err)
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return fmt.Errorf("creating profile: %w", err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("profiling: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var server sync.WaitGroup
	defer server.Wait()
	defer cancel()
	failed := make(chan error, 1)
	server.Go(func() {
		if *output == floor {
			failed <- serveFloor(ctx, viewers)
		} else {
			failed <- serveModule(ctx, *dir, tunnels, viewers)
		}
	})
	if err := json.NewEncoder(os.Stdout).Encode(addresses{tunnels.Addr().String(), viewers.Addr().String()}); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			return fmt.Errorf("asking for CPU time: %w", err)
		}
		fmt.Println(usage.Utime.Nano() + usage.Stime.Nano())
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// serveModule serves the stream as cloudcore would.
func serveModule(ctx context.Context, dir string, tunnels, viewers net.Listener) error {
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Enable = true
	cfg.Tunnel.CAFile = filepath.Join(dir, "ca.crt")
	cfg.Tunnel.CertFile, cfg.Tunnel.KeyFile = filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	cfg.Stream.Authentication = v1alpha1.AuthenticationNone
	server := clouddatastream.NewServer(cfg, func(assignment.Report) {})
	server.Apply(assignment.NodeDirectory{Node: key.Node, Entries: []assignment.Entry{
		{Namespace: key.Namespace, Rule: key.Rule, Path: key.Path},
	}})
	server.Synced()
	return server.Serve(ctx, tunnels, viewers)
}

// serveFloor writes each frame to each viewer with one call, from one goroutine, and does nothing else. So it could not serve
// anybody for real: one viewer that is slow stops all.
func serveFloor(ctx context.Context, l net.Listener) error {
	var mu sync.Mutex
	var viewers []net.Conn
	var accepting sync.WaitGroup
	defer accepting.Wait()
	defer l.Close()
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			viewers = append(viewers, c)
			mu.Unlock()
		}
	})
	frames := gop()
	ticker := time.NewTicker(time.Second / frameRate)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		mu.Lock()
		now := viewers[:len(viewers):len(viewers)]
		mu.Unlock()
		for _, c := range now {
			_, _ = c.Write(frames[i%gopFrames]) // a viewer that has left costs little
		}
	}
}
