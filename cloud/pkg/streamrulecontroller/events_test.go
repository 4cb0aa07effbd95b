// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corefake "k8s.io/client-go/kubernetes/typed/core/v1/fake"
	kubetesting "k8s.io/client-go/testing"
)

// What client-go makes of the module's Events, up to the request to the API server.
func TestRecorder(t *testing.T) {
	requests := make(chan string, 16)
	api := &corefake.FakeCoreV1{Fake: &kubetesting.Fake{}}
	var created *corev1.Event
	api.AddReactor("*", "events", func(action kubetesting.Action) (bool, runtime.Object, error) {
		if create, ok := action.(kubetesting.CreateAction); ok {
			created = create.GetObject().(*corev1.Event)
			requests <- fmt.Sprintf("%s %s/%s %s %s: %s, by %s", created.Type, created.InvolvedObject.Kind, created.InvolvedObject.Name,
				created.Namespace, created.Reason, created.Message, created.Source.Component)
		} else {
			requests <- action.GetVerb()
		}
		return true, created, nil
	})
	recorder, stop := newRecorder(api)
	defer stop()
	e := events{recorder}
	r := doorRule("cam edge-1 /front")
	for range 2 {
		failed := statusOf(r, []observation{observe("cam edge-1 /front", "failed")}, start)
		failed.Conditions = nil
		e.transitions(r, &failed)
	}
	want := []string{"Warning StreamRule/door default TargetFailed: edge-1/front: , by streamrulecontroller", "patch"}
	for _, w := range want {
		if got := receiveOne(t, "event", requests); got != w {
			t.Errorf("request %q, want %q", got, w)
		}
	}

	none, stop := newRecorder(nil)
	defer stop()
	events{none}.transitions(r, &r.Status)
}
