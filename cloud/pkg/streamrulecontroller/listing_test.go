// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/metadata/fake"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
)

// A controller that may not list Nodes where nobody is let in without one says so, in words for everybody, and begins when it may.
func TestNodesNotListed(t *testing.T) {
	client, watching := newTracker()
	scheme := fake.NewTestScheme()
	must(metav1.AddMetaToScheme(scheme))
	nodes := fake.NewSimpleMetadataClient(scheme)
	var allowed atomic.Bool
	nodes.PrependReactor("list", "nodes", func(kubetesting.Action) (bool, runtime.Object, error) {
		if allowed.Load() {
			return false, nil, nil
		}
		return true, nil, apierrors.NewForbidden(nodeResource.GroupResource(), "", errors.New(`User "system:serviceaccount:kubeedge:cloudcore" cannot list`))
	})
	cfg := v1alpha1.NewDefaultStreamRuleController()
	cfg.Nodes = v1alpha1.NodesRegistered
	out := newOutbox()
	c := NewController(cfg, client, out, record.NewFakeRecorder(1), nil)
	c.FollowNodes(nodes)
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { c.Run(ctx) })
	defer run.Wait()
	defer cancel()
	watching(t)
	const want = "Nodes not listed yet: Forbidden"
	for got := ""; got != want; { // the first may come before the answer
		if got = receiveOne(t, "word", out.waits); got != want && got != "Nodes not listed yet" {
			t.Logf("not all is listed yet: %s", got)
		}
	}
	if len(out.cloud) > 0 {
		t.Errorf("%+v is sent", <-out.cloud)
	}
	allowed.Store(true)
	if got := receiveOne(t, "message", out.cloud); got != (assignment.Synced{}) {
		t.Errorf("%+v is sent", got)
	}
}

// Of several lists those that are there are not named, and of an error nothing is that not everybody may know.
func TestNotListed(t *testing.T) {
	there, away := func() bool { return true }, func() bool { return false }
	all := []*listing{{what: "StreamRules", synced: away}, {what: "StreamRuleEndpoints", synced: there}, {what: "Nodes", synced: away}}
	why := brief(fmt.Errorf("failed to list: %w", &url.Error{Op: "Get", URL: "https://192.0.2.1/api/v1/nodes", Err: errors.New("connection refused")}))
	all[2].last.Store(&why)
	if got, want := notListed(all), "StreamRules not listed yet; Nodes not listed yet: the API server cannot be asked"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := brief(fmt.Errorf("failed to list: %w", apierrors.NewUnauthorized("token of whom"))); got != "Unauthorized" {
		t.Error(got)
	}
	if got := notListed(all[1:2]); got != "" {
		t.Error(got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	if await(ctx, all, func(string) { told++; cancel() }) || told != 1 {
		t.Errorf("told %d times", told)
	}
	if !await(t.Context(), nil, nil) {
		t.Error("nothing is waited for")
	}
}
