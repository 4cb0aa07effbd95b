// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/tests/harness"
)

// measure runs one server process with that many viewers of one output in this process, and returns its CPU time in
// milliseconds per delivered megabyte.
func measure(ctx context.Context, output string, viewers int, o options) (float64, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	ca, err := harness.NewAuthority(dir)
	if err != nil {
		return 0, err
	}
	if _, _, err := ca.Server(); err != nil {
		return 0, err
	}
	server, err := startServer(ctx, output, dir, viewers, o.profile)
	if err != nil {
		return 0, err
	}
	defer server.stop()

	ctx, cancel := context.WithCancel(ctx)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	failed := make(chan error, viewers+1)
	if output != floor {
		edge, err := newEdge(ca, server.Tunnels)
		if err != nil {
			return 0, err
		}
		clients.Go(func() { failed <- edge.run(ctx) })
	}
	var delivered atomic.Int64
	for range viewers {
		clients.Go(func() { failed <- view(ctx, output, server.Viewers, &delivered) })
	}
	sample := func(after time.Duration) (cpu, bytes int64, err error) {
		select {
		case err := <-failed:
			return 0, 0, fmt.Errorf("a client ended early: %w", err)
		case <-time.After(after):
		}
		cpu, err = server.cpu()
		return cpu, delivered.Load(), err
	}
	cpu0, bytes0, err := sample(o.warmup)
	if err != nil {
		return 0, err
	}
	cpu1, bytes1, err := sample(o.window)
	if err != nil {
		return 0, err
	}
	cpu, bytes := cpu1-cpu0, bytes1-bytes0
	want := bitRate / 8 * o.window.Seconds() * float64(viewers)
	if float64(bytes) < 0.8*want {
		return 0, fmt.Errorf("only %.1f of %.1f MB were delivered: this machine is too slow for the row", float64(bytes)/1e6, want/1e6)
	}
	return float64(cpu) / 1e6 / (float64(bytes) / 1e6), nil
}

// process is a server in a process of its own.
type process struct {
	addresses
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startServer(ctx context.Context, output, dir string, viewers int, profiles string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "-output", output, "-certificates", dir}
	if profiles != "" {
		if err := os.MkdirAll(profiles, 0o755); err != nil {
			return nil, err
		}
		args = append(args, "-profile", filepath.Join(profiles, fmt.Sprintf("%s-%d.pprof", output, viewers)))
	}
	cmd := exec.CommandContext(ctx, self, args...)
	errFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer errFile.Close()
	cmd.Stderr = errFile
	p := &process{cmd: cmd}
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &p.addresses)
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	return p, nil
}

// cpu asks the server for the CPU time that it has used, in nanoseconds.
func (p *process) cpu() (int64, error) {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		return 0, fmt.Errorf("asking the server: %w", err)
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("asking the server: %w", err)
	}
	return strconv.ParseInt(strings.TrimSpace(line), 10, 64)
}

func (p *process) stop() {
	p.in.Close()
	_ = p.cmd.Wait() // what it said is not needed any more
}

// readSize is how much a viewer reads at once, in bytes.
const readSize = 64 << 10

// view is one viewer: it reads and counts until ctx ends.
func view(ctx context.Context, output, address string, delivered *atomic.Int64) error {
	path := "/node/" + key.Node + "/" + key.Rule + key.Path + "?format=" + output
	switch output {
	case floor:
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		return count(c, delivered)
	case "mse":
		// Reads of the same size as the other viewers': on the loopback the reader's cost is partly the writer's.
		dialer := websocket.Dialer{ReadBufferSize: readSize}
		ws, _, err := dialer.DialContext(ctx, "ws://"+address+path, nil)
		if err != nil {
			return err
		}
		defer ws.Close()
		defer context.AfterFunc(ctx, func() { ws.Close() })()
		for {
			_, r, err := ws.NextReader()
			if err != nil {
				return err
			}
			if err := count(r, delivered); err != nil {
				return err
			}
		}
	default:
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			return err
		}
		resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("viewing: %s", resp.Status)
		}
		return count(resp.Body, delivered)
	}
}

// count reads to the end.
func count(r io.Reader, delivered *atomic.Int64) error {
	buf := make([]byte, readSize)
	for {
		n, err := r.Read(buf)
		delivered.Add(int64(n))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
