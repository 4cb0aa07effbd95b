// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the whole product: stock cloudcore and edgecore with our modules, a real API server, simulated cameras. It
// needs a cluster of hack/localup whose folder is in E2E_CLUSTER ("make e2e" sees to both); without one there is nothing to run.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/kubeedge/datastream/hack/localup/cluster"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
)

// patience is how long a test waits for what must happen. It is no measure: times are logged, nothing is asserted about them.
const patience = 90 * time.Second

// environment is a cluster and how to reach what is in it.
type environment struct {
	*cluster.Cluster
	kube    kubernetes.Interface
	rules   versioned.Interface
	applier *cluster.Applier
}

// env is the cluster that most tests share. They run one after the other: some take parts of it down.
var env *environment

func TestMain(m *testing.M) {
	dir := os.Getenv("E2E_CLUSTER")
	if dir == "" {
		fmt.Println("skipped: E2E_CLUSTER is not set (make e2e)")
		return
	}
	c, err := cluster.Open(dir)
	if err == nil {
		env, err = newEnvironment(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func newEnvironment(c *cluster.Cluster) (*environment, error) {
	config, err := c.Config()
	if err != nil {
		return nil, err
	}
	e := &environment{Cluster: c}
	var errKube, errRules, errApplier error
	e.kube, errKube = kubernetes.NewForConfig(config)
	e.rules, errRules = versioned.NewForConfig(config)
	e.applier, errApplier = cluster.NewApplier(config)
	return e, errors.Join(errKube, errRules, errApplier)
}

// patient is a context for one step of a test.
func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually calls f until it returns no error, and returns how long that took. With an error in the end the test fails.
func eventually(t *testing.T, what string, f func(context.Context) error) time.Duration {
	t.Helper()
	ctx, began := patient(t), time.Now()
	for {
		err := f(ctx)
		if err == nil {
			return time.Since(began)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, err)
		case <-time.After(20 * time.Millisecond): // nobody tells us
		}
	}
}

// must fails the test with an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
