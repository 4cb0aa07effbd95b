// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/kubeedge/datastream/hack/localup/cluster"
)

// repository is the root of it, seen from here.
const repository = "../.."

// ownOptions are those of a cluster for one test alone.
func ownOptions(t *testing.T) cluster.Options {
	t.Helper()
	ports, err := cluster.NewPorts(0)
	must(t, err)
	return cluster.Options{
		Dir: filepath.Join(env.Dir, "own", t.Name()), Root: repository, Bin: env.Bin, Ports: ports, Log: io.Discard,
	}
}

// newCluster starts a cluster that ends with the test.
func newCluster(t *testing.T, o cluster.Options) *environment {
	t.Helper()
	c, err := cluster.Up(patient(t), o)
	if c != nil {
		t.Cleanup(func() { must(t, c.Down(patient(t))) })
	}
	must(t, err)
	e, err := newEnvironment(c)
	must(t, err)
	return e
}
