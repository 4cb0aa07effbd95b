// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// finding is a vulnerability in something that a module is built with.
type finding struct {
	id      string
	summary string
	in      string // our module
	module  string // that it is in, with its version
	fixed   string // version, empty: in none yet
	called  string // the vulnerable function and who of us calls it; empty: nothing of ours leads there
}

// message is one of those that govulncheck -format json writes (golang.org/x/vuln/internal/govulncheck).
type message struct {
	OSV *struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	} `json:"osv"`
	Finding *struct {
		OSV          string  `json:"osv"`
		FixedVersion string  `json:"fixed_version"`
		Trace        []frame `json:"trace"`
	} `json:"finding"`
}

// frame is a step on the way from us to the vulnerable function, which is the first. Where only the module or the package is known to be there, the
// function is empty.
type frame struct {
	Module   string `json:"module"`
	Version  string `json:"version"`
	Package  string `json:"package"`
	Receiver string `json:"receiver"`
	Function string `json:"function"`
}

func (f frame) String() string {
	name := f.Function
	if f.Receiver != "" {
		name = strings.TrimPrefix(f.Receiver, "*") + "." + name
	}
	return f.Package + "." + name
}

// scan looks at all packages of the module in dir, with their tests left out.
func scan(program, db, dir string) ([]finding, error) {
	cmd := exec.Command(program, "-C", dir, "-db", db, "-format", "json", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("running govulncheck: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("running govulncheck: %w", err)
	}
	found, err := decode(out, dir)
	_, _ = io.Copy(io.Discard, out) // it must not hang if its output was not understood
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("looking at module %s: %w", dir, err)
	}
	return found, nil
}

// decode reads govulncheck's messages; of the findings of one vulnerability in one module it keeps the gravest.
func decode(r io.Reader, in string) ([]finding, error) {
	var found []finding
	summaries := make(map[string]string)
	for dec := json.NewDecoder(r); ; {
		var m message
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading govulncheck's output: %w", err)
		}
		if m.OSV != nil {
			summaries[m.OSV.ID] = m.OSV.Summary
		}
		if m.Finding == nil || len(m.Finding.Trace) == 0 {
			continue
		}
		first, last := m.Finding.Trace[0], m.Finding.Trace[len(m.Finding.Trace)-1]
		f := finding{id: m.Finding.OSV, in: in, module: first.Module + "@" + first.Version, fixed: m.Finding.FixedVersion}
		if first.Function != "" {
			f.called = fmt.Sprintf("%s, from %s", first, last)
		}
		i := slices.IndexFunc(found, func(other finding) bool { return other.id == f.id && other.module == f.module })
		switch {
		case i < 0:
			found = append(found, f)
		case found[i].called == "":
			found[i] = f
		}
	}
	for i := range found {
		found[i].summary = summaries[found[i].id]
	}
	return found, nil
}
