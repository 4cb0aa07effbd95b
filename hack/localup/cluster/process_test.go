// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// newCluster makes a cluster without programs.
func newCluster(t *testing.T) *Cluster {
	t.Helper()
	c := &Cluster{Dir: t.TempDir(), children: make(map[string]*exec.Cmd)}
	if err := os.Mkdir(c.path("logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	return c
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func shell(script string) process { return process{Command: []string{"/bin/sh", "-c", script}} }

func TestStop(t *testing.T) {
	for name, end := range map[string]func(*Cluster) error{
		"gently":         func(c *Cluster) error { return c.Stop(patient(t), "p") },
		"by force":       func(c *Cluster) error { return c.Kill(patient(t), "p") },
		"when suspended": func(c *Cluster) error { return errors.Join(c.Suspend("p"), c.Stop(patient(t), "p")) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			if err := c.start("p", shell("sleep 1000 & wait")); err != nil {
				t.Fatal(err)
			}
			if !c.Alive("p") {
				t.Fatal("it does not run")
			}
			if err := c.Start("p"); err == nil {
				t.Error("it was started twice")
			}
			if err := end(c); err != nil {
				t.Fatal(err)
			}
			if c.Alive("p") {
				t.Error("it still runs")
			}
			if err := c.Stop(patient(t), "p"); err != nil {
				t.Errorf("stopping what has ended: %v", err)
			}
			if err := c.Start("p"); err != nil || !c.Alive("p") {
				t.Errorf("starting it again: %v", err)
			}
			if err := c.Kill(patient(t), "p"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStopOfWhatNeverWas(t *testing.T) {
	if err := newCluster(t).Stop(patient(t), "p"); err != nil {
		t.Error(err)
	}
}

// A process that has another's PID is none of ours.
func TestForeignProcess(t *testing.T) {
	c := newCluster(t)
	p := process{PID: os.Getpid(), Started: "1"}
	if p.alive() {
		t.Error("this test counts as a process of the cluster")
	}
	p = process{PID: os.Getpid()}
	if stat, err := readStat(p.PID); err != nil || stat.started == "" || stat.threads < 2 {
		t.Errorf("reading this test's own state: %+v, %v", stat, err)
	}
	if c.Alive("p") {
		t.Error("what never was runs")
	}
}

// A killed process has ended when its last thread has, not when its first one is a zombie.
func TestEnded(t *testing.T) {
	for _, tc := range []struct {
		stat stat
		want bool
	}{
		{stat{state: "S", threads: 1}, false},
		{stat{state: zombie, threads: 2}, false},
		{stat{state: zombie, threads: 1}, true},
		{stat{state: zombie, threads: 0}, true},
	} {
		if got := tc.stat.ended(); got != tc.want {
			t.Errorf("%+v has ended: %t, want %t", tc.stat, got, tc.want)
		}
	}
}

func TestAwaitOfWhatEnds(t *testing.T) {
	c := newCluster(t)
	if err := c.start("p", shell("echo no such door; exit 1")); err != nil {
		t.Fatal(err)
	}
	err := c.await(patient(t), "p", func(context.Context) error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "no such door") || !strings.Contains(err.Error(), "it has ended") {
		t.Errorf("got %v, want the end of the log", err)
	}
	if err := c.Kill(patient(t), "p"); err != nil {
		t.Error(err)
	}
}

func TestPorts(t *testing.T) {
	some, err := NewPorts(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := some.free(); err != nil {
		t.Error(err)
	}
	seen := make(map[int]string)
	for _, n := range some.all() {
		if other, ok := seen[*n.port]; ok {
			t.Errorf("%s and %s have the same port", n.name, other)
		}
		seen[*n.port] = n.name
	}
}

// What is in the folder already is not ours to remove.
func TestPrepareInForeignFolder(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/mine"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := prepare(Options{Dir: dir}); err == nil {
		t.Error("a folder that is in use was taken")
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
