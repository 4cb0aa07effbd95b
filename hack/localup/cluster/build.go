// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// program is one that a cluster needs.
type program struct {
	name string
	// module is the folder, below the repository's root, whose go.mod says the version of pkg.
	module, pkg string
	ldflags     string
	env         []string
	// tag is what "name --version" prints when the program of PATH will do. Without it PATH is not asked.
	tag string
}

// The control plane's versions are those of tools/go.mod; Kubernetes' is told to the linker, since it is not in the source.
const (
	etcdTag       = "etcd Version: 3.5."
	kubernetesTag = "Kubernetes v1.30."
	kubernetes130 = "-s -w -X k8s.io/component-base/version.gitVersion=v1.30.14" +
		" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=30"
)

var programs = [...]program{
	{name: Etcd, module: "hack/localup/tools", pkg: "go.etcd.io/etcd/server/v3", ldflags: "-s -w", tag: etcdTag},
	{name: APIServer, module: "hack/localup/tools", pkg: "k8s.io/kubernetes/cmd/kube-apiserver", ldflags: kubernetes130, tag: kubernetesTag},
	{name: "camera", module: ".", pkg: "./tests/camera/cmd/camera", ldflags: "-s -w"},
}

// Build puts the programs into bin, which takes minutes the first time. The control plane is links to what PATH has if that is
// of the right version, and kubectl is built only if PATH has none. cloudcore and edgecore are linked with the given flags;
// what they need before is "make beehive"'s to see to. Without flags they must be there.
func Build(ctx context.Context, root, bin, kubeEdgeFlags string, log io.Writer) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return fmt.Errorf("finding the programs: %w", err)
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return fmt.Errorf("making the programs' folder: %w", err)
	}
	var needed []program
	for _, name := range [...]string{CloudCore, edgeCore} {
		if kubeEdgeFlags == "" {
			if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
				return fmt.Errorf("looking for %s, which \"make build\" makes: %w", name, err)
			}
			continue
		}
		needed = append(needed, program{
			name: name, module: "build/kubeedge", pkg: "./cmd/" + name, ldflags: kubeEdgeFlags,
			env: []string{"CGO_ENABLED=1"}, // without a C compiler it should fail now, and not edgecore later
		})
	}
	needed = append(needed, programs[:]...)
	if _, err := exec.LookPath("kubectl"); err != nil {
		needed = append(needed, program{name: "kubectl", module: "hack/localup/tools", pkg: "k8s.io/kubernetes/cmd/kubectl", ldflags: kubernetes130})
	}
	for _, p := range needed {
		if err := p.provide(ctx, root, bin, log); err != nil {
			return fmt.Errorf("building %s: %w", p.name, err)
		}
	}
	return nil
}

func (p *program) provide(ctx context.Context, root, bin string, log io.Writer) error {
	file := filepath.Join(bin, p.name)
	if p.tag != "" {
		if _, err := os.Stat(file); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err // its version never changes but by "make clean"
		}
		if found, ok := p.inPath(ctx); ok {
			fmt.Fprintf(log, "%-16s%s\n", p.name, found)
			return os.Symlink(found, file)
		}
	}
	return p.build(ctx, filepath.Join(root, p.module), file, log)
}

// inPath looks for the program in PATH, in a version that will do.
func (p *program) inPath(ctx context.Context) (string, bool) {
	file, err := exec.LookPath(p.name)
	if err != nil {
		return "", false
	}
	out, err := exec.CommandContext(ctx, file, "--version").Output()
	return file, err == nil && strings.HasPrefix(string(out), p.tag)
}

// build builds the program and shows how far it is.
func (p *program) build(ctx context.Context, dir, file string, log io.Writer) error {
	list := exec.CommandContext(ctx, "go", "list", "-deps", p.pkg)
	list.Dir = dir
	packages, err := list.Output()
	if err != nil {
		return fmt.Errorf("listing packages: %w", withStderr(err))
	}
	// With -v the compiler names each package that it has not in its cache.
	cmd := exec.CommandContext(ctx, "go", "build", "-v", "-trimpath", "-ldflags", p.ldflags, "-o", file, p.pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), p.env...)
	output, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("starting the compiler: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the compiler: %w", err)
	}
	show := newProgress(log, p.name, bytes.Count(packages, []byte("\n")))
	var last strings.Builder // what is no package's name
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if line := lines.Text(); strings.ContainsAny(line, " :") {
			last.WriteString(line + "\n")
			continue
		}
		show.compiled.Add(1)
	}
	err = cmd.Wait()
	show.end()
	if err != nil {
		return fmt.Errorf("compiling: %w\n%s", err, last.String())
	}
	return nil
}

func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return err
}

// progress shows every few seconds how many packages were compiled.
type progress struct {
	compiled atomic.Int64
	done     chan struct{}
	shown    sync.WaitGroup
}

// progressInterval is how often something is shown.
const progressInterval = 5 * time.Second

func newProgress(log io.Writer, name string, packages int) *progress {
	p := &progress{done: make(chan struct{})}
	began := time.Now()
	p.shown.Go(func() {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		show := func(what string) {
			fmt.Fprintf(log, "%-16s%s, %d of at most %d packages compiled, %s\n",
				name, what, p.compiled.Load(), packages, time.Since(began).Round(time.Second))
		}
		for {
			select {
			case <-p.done:
				if time.Since(began) > progressInterval {
					show("done")
				}
				return
			case <-ticker.C:
				show("building")
			}
		}
	})
	return p
}

func (p *progress) end() {
	close(p.done)
	p.shown.Wait()
}
