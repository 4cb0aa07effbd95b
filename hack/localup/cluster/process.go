// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// readyTimeout is how long one program may take to be ready, on a busy machine.
	readyTimeout = 2 * time.Minute
	// stopTimeout is how long a process may take to end by itself.
	stopTimeout = 10 * time.Second
	// pollInterval is how often we ask what cannot tell us.
	pollInterval = 50 * time.Millisecond
	// tailBytes is how much of a log goes into an error.
	tailBytes = 2048
)

// process is what the folder says of a process, in run/<name>.json.
type process struct {
	Command []string `json:"command"`
	Env     []string `json:"env,omitempty"`
	PID     int      `json:"pid"`
	// Started is the kernel's time of the start. It tells the process from a later one with the same PID.
	Started string `json:"started"`
}

// start starts a process in a group of its own.
func (c *Cluster) start(name string, p process) error {
	log, err := os.OpenFile(c.LogFile(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer log.Close()
	// Not bound to a context: it outlives this program.
	cmd := exec.Command(p.Command[0], p.Command[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	c.children[name] = cmd
	p.PID = cmd.Process.Pid
	if stat, err := readStat(p.PID); err == nil {
		p.Started = stat.started
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the state of %s: %w", name, err)
	}
	return c.write(c.path("run", name+".json"), data)
}

// Start starts a process that has ended, as it was started before. It does not wait until it is ready.
func (c *Cluster) Start(name string) error {
	p, err := c.process(name)
	if err != nil {
		return err
	}
	if p.alive() {
		return fmt.Errorf("%s runs already", name)
	}
	return c.start(name, p)
}

// Stop ends a process gently, or by force if that takes too long. One that has ended is no error.
func (c *Cluster) Stop(ctx context.Context, name string) error {
	gentle, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	// A process that was suspended hears nothing else before this.
	if err := c.end(gentle, name, syscall.SIGTERM, syscall.SIGCONT); err == nil || ctx.Err() != nil {
		return err
	}
	return c.Kill(ctx, name)
}

// Kill ends a process as kill -9 does, and returns when it is gone.
func (c *Cluster) Kill(ctx context.Context, name string) error {
	return c.end(ctx, name, syscall.SIGKILL)
}

// Suspend stops a process from running, until Resume.
func (c *Cluster) Suspend(name string) error { return c.signal(name, syscall.SIGSTOP) }

// Resume lets a suspended process go on.
func (c *Cluster) Resume(name string) error { return c.signal(name, syscall.SIGCONT) }

func (c *Cluster) signal(name string, s syscall.Signal) error {
	p, err := c.process(name)
	if err != nil {
		return err
	}
	if !p.alive() {
		return fmt.Errorf("signalling %s: %w", name, os.ErrProcessDone)
	}
	if err := syscall.Kill(-p.PID, s); err != nil { // its whole group
		return fmt.Errorf("signalling %s: %w", name, err)
	}
	return nil
}

// end sends the signals and waits until the process is gone.
func (c *Cluster) end(ctx context.Context, name string, signals ...syscall.Signal) error {
	p, err := c.process(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range signals {
		if err := c.signal(name, s); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	if err := Poll(ctx, func(context.Context) error {
		if p.alive() {
			return fmt.Errorf("%s does not end", name)
		}
		return nil
	}); err != nil {
		return err
	}
	if cmd := c.children[name]; cmd != nil {
		delete(c.children, name)
		_ = cmd.Wait() // it is gone, by our signal
	}
	return nil
}

// Alive says whether a process runs.
func (c *Cluster) Alive(name string) bool {
	p, err := c.process(name)
	return err == nil && p.alive()
}

// LogFile is where a process writes.
func (c *Cluster) LogFile(name string) string { return c.path("logs", name+".log") }

// Tail returns the end of a process's log.
func (c *Cluster) Tail(name string) string {
	data, err := os.ReadFile(c.LogFile(name))
	if err != nil {
		return err.Error()
	}
	if len(data) > tailBytes {
		data = data[len(data)-tailBytes:]
		data = data[bytes.IndexByte(data, '\n')+1:]
	}
	return string(data)
}

// await returns when ready does without an error. If the process ends before, or does not become ready in
// readyTimeout, the error has the end of its log.
func (c *Cluster) await(ctx context.Context, name string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ended := errors.New("it has ended")
	err := Poll(ctx, func(ctx context.Context) error {
		if !c.Alive(name) {
			cancel()
			return ended
		}
		return ready(ctx)
	})
	if err != nil {
		return fmt.Errorf("%s is not ready: %w\nthe end of %s:\n%s", name, err, c.LogFile(name), c.Tail(name))
	}
	return nil
}

// Poll calls ready until it returns no error, or else returns the last one when ctx ends.
func Poll(ctx context.Context, ready func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}

func (c *Cluster) process(name string) (process, error) {
	var p process
	data, err := os.ReadFile(c.path("run", name+".json"))
	if err != nil {
		return p, fmt.Errorf("looking for %s: %w", name, err)
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("looking for %s: %w", name, err)
	}
	return p, nil
}

func (p *process) alive() bool {
	stat, err := readStat(p.PID)
	return err == nil && stat.started == p.Started && !stat.ended()
}

// stat is what the kernel says of a process: proc(5), /proc/pid/stat.
type stat struct {
	state, started string
	threads        int
}

// zombie is the state of a process whose first thread has ended and whose parent does not know yet.
const zombie = "Z"

// ended says whether nothing of the process is left but its state: while another thread ends, its ports are still taken.
func (s *stat) ended() bool { return s.state == zombie && s.threads <= 1 }

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, fmt.Errorf("asking for process %d: %w", pid, err)
	}
	// The name, in parentheses, may hold anything. After it come state (3) to number of threads (20) and start time (22).
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("asking for process %d: unknown answer", pid)
	}
	threads, err := strconv.Atoi(fields[17])
	if err != nil {
		return stat{}, fmt.Errorf("asking for process %d: reading its number of threads: %w", pid, err)
	}
	return stat{state: fields[0], started: fields[19], threads: threads}, nil
}
