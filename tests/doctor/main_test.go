// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package doctor tests "kubectl streams doctor" on set-ups that are broken on purpose: the program itself, a real kube-apiserver, the real
// modules of cloud and edge, real cameras. It needs etcd and kube-apiserver ("make e2e" builds them); without them there is nothing to
// run.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream"
	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/hack/localup/cluster"
	config "github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
	"github.com/kubeedge/datastream/tests/apiserver"
	"github.com/kubeedge/datastream/tests/harness"
)

const (
	yard = "yard" // the namespace of all rules
	node = "edge-1"
	// silent has a Node object that is not ready, and unconnected one that is: no edge runs for either.
	silent, unconnected = "edge-silent", "edge-unconnected"
)

// env is what all tests share.
var env struct {
	*apiserver.Server
	*harness.Cluster
	admin kubernetes.Interface
	rules versioned.Interface
	dir   string
	// bare is what doctor said before the CRDs were installed.
	bare answer
}

func TestMain(m *testing.M) { os.Exit(apiserver.Main(m, withEnvironment)) }

func withEnvironment(etcd, server string, use func()) error {
	dir, err := os.MkdirTemp("", "doctor")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env.dir = dir
	ctx, cancel := context.WithCancel(context.Background()) // the API server ends with it
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
	for _, name := range []string{"kubeedge", yard} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := env.admin.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	for name, ready := range map[string]corev1.ConditionStatus{node: corev1.ConditionTrue, unconnected: corev1.ConditionTrue, silent: corev1.ConditionUnknown} {
		if err := makeNode(ctx, name, ready); err != nil {
			return err
		}
	}
	if err := makeAccounts(ctx); err != nil {
		return err
	}
	if err := allowed(ctx, operator, authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"}); err != nil {
		return err
	}
	env.bare = ask(ctx, operator, "-A")
	applier, err := cluster.NewApplier(config)
	if err != nil {
		return err
	}
	for _, pattern := range []string{"../../build/crds/streamrules/*.yaml", "../../build/manifests/rbac/[cv]*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) < 2 {
			return fmt.Errorf("looking for %s: %v, %w", pattern, files, err)
		}
		for _, file := range files {
			if filepath.Base(file) == "kustomization.yaml" {
				continue
			}
			if err := applier.ApplyFile(ctx, file); err != nil {
				return err
			}
		}
	}
	if err := established(ctx); err != nil {
		return err
	}
	group := v1alpha1.SchemeGroupVersion.Group
	if err := errors.Join(
		allowed(ctx, viewer, authorizationv1.ResourceAttributes{Verb: "get", Group: group, Resource: "streamrules", Subresource: "stream", Namespace: yard}),
		allowed(ctx, lister, authorizationv1.ResourceAttributes{Verb: "list", Group: group, Resource: "streamrules", Namespace: yard}),
	); err != nil {
		return err
	}
	return withCluster(ctx, use)
}

// established returns when the API server serves rules and endpoints.
func established(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		_, errRules := env.rules.StreamrulesV1alpha1().StreamRules(yard).List(ctx, metav1.ListOptions{})
		_, errEndpoints := env.rules.StreamrulesV1alpha1().StreamRuleEndpoints(yard).List(ctx, metav1.ListOptions{})
		err := errors.Join(errRules, errEndpoints)
		if apierrors.IsNotFound(errRules) || apierrors.IsNotFound(errEndpoints) {
			return false, nil
		}
		return err == nil, err
	})
}

func makeNode(ctx context.Context, name string, ready corev1.ConditionStatus) error {
	n, err := env.admin.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, Reason: "Test"}}
	_, err = env.admin.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{})
	return err
}

// withCluster runs cloud and edge on the API server, as cloudcore, with what the manifests grant it. Secrets are granted by namespace, so
// those the tests read as somebody who may.
func withCluster(ctx context.Context, use func()) error {
	own, err := env.Config(apiserver.CloudCore, "system:serviceaccounts")
	if err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(own)
	if err != nil {
		return err
	}
	rules, err := versioned.NewForConfig(own)
	if err != nil {
		return err
	}
	dir, remove, err := harness.TempDir()
	if err != nil {
		return err
	}
	defer remove()
	env.Cluster, err = harness.Start(harness.Options{
		Node: node, Dir: dir, ListenViewers: "127.0.0.1:0", Client: rules, Kube: env.admin,
		Cloud: []clouddatastream.Option{clouddatastream.WithReviewer(viewerauth.NewAPIServer(kube))},
		Tune: func(cloud *config.CloudDataStream, edge *config.EdgeDataStream) {
			cloud.Stream.Authentication = config.AuthenticationKubernetes
			cloud.Stream.StopGrace = harness.Duration(300 * time.Millisecond)
			// A camera has as long to fail as a doctor waits for it, however slow this machine is.
			cloud.Stream.WaitTimeout = harness.Duration(30 * time.Second)
			edge.ReconnectMin, edge.ReconnectMax = harness.Duration(50*time.Millisecond), harness.Duration(500*time.Millisecond)
			edge.Source.RetryMin, edge.Source.RetryMax = harness.Duration(50*time.Millisecond), harness.Duration(500*time.Millisecond)
			edge.Source.StallTimeout = harness.Duration(3 * time.Second)
			// The probe counts frames: none is left out because this machine is late.
			cloud.Stream.MaxLag, edge.Queue.Age, edge.Congestion.Enable = harness.Duration(patience), harness.Duration(patience), false
		},
	})
	if err != nil {
		return err
	}
	defer env.Stop()
	if err := env.WaitReady(ctx); err != nil {
		return err
	}
	use()
	return nil
}

// patience is how long a test waits for what must come.
const patience = time.Minute

// poll asks again and again until the answer is yes: nobody tells us.
func poll(ctx context.Context, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		yes, err := ask()
		if yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
