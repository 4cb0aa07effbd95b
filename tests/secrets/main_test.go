// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package secrets tests what StreamRuleController makes of the Secrets of cameras where a real kube-apiserver, with its RBAC, does not show
// them. It needs etcd and kube-apiserver ("make e2e" builds them); without them there is nothing to run.
package secrets

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubeedge/datastream/hack/localup/cluster"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
	"github.com/kubeedge/datastream/tests/apiserver"
)

const (
	node = "edge-1"
	// patience is how long a test waits for what must come. The controller asks for a Secret again after a minute at most.
	patience = 3 * time.Minute
)

// env is what all tests share.
var env struct {
	*apiserver.Server
	admin   kubernetes.Interface
	rules   versioned.Interface // the admin's
	applier *cluster.Applier
}

func TestMain(m *testing.M) { os.Exit(apiserver.Main(m, withEnvironment)) }

func withEnvironment(etcd, server string, use func()) error {
	dir, err := os.MkdirTemp("", "secrets")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var stop func()
	if env.Server, stop, err = apiserver.Start(ctx, dir, etcd, server); err != nil {
		return err
	}
	defer stop()
	config, err := env.Config("admin", "system:masters")
	if err != nil {
		return err
	}
	if env.admin, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if env.rules, err = versioned.NewForConfig(config); err != nil {
		return err
	}
	if env.applier, err = cluster.NewApplier(config); err != nil {
		return err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kubeedge"}}
	if _, err := env.admin.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return err
	}
	crds, err := filepath.Glob("../../build/crds/streamrules/streamrules*.yaml")
	if err != nil {
		return err
	}
	for _, file := range append(crds, "../../build/manifests/rbac/cloudcore-datastream.yaml") {
		if err := env.applier.ApplyFile(ctx, file); err != nil {
			return err
		}
	}
	if err := established(ctx); err != nil {
		return err
	}
	use()
	return nil
}

// established returns when the API server serves rules and endpoints.
func established(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, err := env.rules.StreamrulesV1alpha1().StreamRules(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		if err == nil {
			_, err = env.rules.StreamrulesV1alpha1().StreamRuleEndpoints(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
		}
		if err == nil || !apierrors.IsNotFound(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond): // nobody tells us
		}
	}
}
