// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned/fake"
	streamrulesclient "github.com/kubeedge/datastream/pkg/client/clientset/versioned/typed/streamrules/v1alpha1"
)

func TestMain(m *testing.M) {
	// The other handler waits for a time since the last error, which in a bubble of testing/synctest is years from that of other tests.
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1]
	goleak.VerifyTestMain(m)
}

// patience bounds a wait for something that must happen; no test measures it.
const patience = 20 * time.Second

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// outbox is the other end of the controller's Sender.
type outbox struct {
	edge  chan assignment.Assignment
	cloud chan any // NodeDirectory and Synced, in order
	waits chan string
}

func newOutbox() outbox {
	return outbox{edge: make(chan assignment.Assignment, 4096), cloud: make(chan any, 4096), waits: make(chan string, 4096)}
}

func (o outbox) ToEdge(a assignment.Assignment)     { o.edge <- a }
func (o outbox) ToCloud(d assignment.NodeDirectory) { o.cloud <- d }
func (o outbox) Synced()                            { o.cloud <- assignment.Synced{} }
func (o outbox) Waiting(what string)                { o.waits <- what }

func receiveOne[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s came", what)
		panic("unreachable")
	}
}

// timerClock is a fake clock for the delaying queue. It tells when its timers are to fire, so that a test steps it only
// once the queue waits for it; and each step is a beat of the queue's ticker, so that a timer which the queue sets
// with the time of before the step is not missed.
type timerClock struct {
	*clocktesting.FakeClock
	armed chan time.Time
	beat  ticker
}

func newTimerClock() timerClock {
	return timerClock{
		FakeClock: clocktesting.NewFakeClock(start), armed: make(chan time.Time, 65536), beat: make(ticker, 1),
	}
}

func (c timerClock) NewTimer(d time.Duration) clock.Timer {
	at := c.Now().Add(d)
	timer := c.FakeClock.NewTimer(d)
	c.armed <- at
	return timer
}

func (c timerClock) NewTicker(time.Duration) clock.Ticker { return c.beat }

func (c timerClock) SetTime(at time.Time) {
	c.FakeClock.SetTime(at)
	select {
	case c.beat <- at:
	default: // one is still to come
	}
}

func (c timerClock) Step(d time.Duration) { c.SetTime(c.Now().Add(d)) }

type ticker chan time.Time

func (t ticker) C() <-chan time.Time { return t }
func (ticker) Stop()                 {}

// harness is a controller with client-go's object tracker in place of kube-apiserver.
type harness struct {
	*testing.T
	outbox
	c     *Controller
	api   streamrulesclient.StreamrulesV1alpha1Interface
	clock timerClock
	// statusClock is the status writer's own. While nobody steps it, only what is written at once is.
	statusClock timerClock
	events      *record.FakeRecorder
	client      *fake.Clientset
}

func newHarness(t *testing.T, objects ...runtime.Object) *harness {
	t.Helper()
	return newHarnessWithSecrets(t, nil, objects...)
}

func newHarnessWithSecrets(t *testing.T, secrets typedcorev1.SecretsGetter, objects ...runtime.Object) *harness {
	t.Helper()
	client, watching := newTracker(objects...)
	h := &harness{
		T: t, outbox: newOutbox(), api: client.StreamrulesV1alpha1(),
		clock: newTimerClock(), statusClock: newTimerClock(), events: record.NewFakeRecorder(4096), client: client,
	}
	noJitter := func(d time.Duration) time.Duration { return d }
	h.c = newController(v1alpha1.NewDefaultStreamRuleController(), client, secrets, h.outbox, h.clock, noJitter,
		statusConfig{h.statusClock, h.events})
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { h.c.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	watching(t)
	return h
}

// newTracker returns the stand-in for kube-apiserver and a function that waits until both kinds are watched. Unlike a
// real API server, the tracker does not show a watcher what happened between its list and its watch.
func newTracker(objects ...runtime.Object) (*fake.Clientset, func(*testing.T)) {
	client := fake.NewSimpleClientset(objects...)
	watched := make(chan struct{}, 64)
	client.PrependWatchReactor("*", func(action kubetesting.Action) (bool, watch.Interface, error) {
		w, err := client.Tracker().Watch(action.GetResource(), action.GetNamespace())
		watched <- struct{}{}
		return true, w, err
	})
	return client, func(t *testing.T) {
		t.Helper()
		receiveOne(t, "watch", watched)
		receiveOne(t, "watch", watched)
	}
}

// directory returns the next directory.
func (h *harness) directory() assignment.NodeDirectory {
	h.Helper()
	for {
		if d, ok := receiveOne(h.T, "directory", h.cloud).(assignment.NodeDirectory); ok {
			return d
		}
	}
}

func (h *harness) assignment() assignment.Assignment {
	h.Helper()
	return receiveOne(h.T, "assignment", h.edge)
}

// synced returns the directories in front of the next Synced.
func (h *harness) synced() []assignment.NodeDirectory {
	h.Helper()
	var out []assignment.NodeDirectory
	for {
		switch m := receiveOne(h.T, "Synced", h.cloud).(type) {
		case assignment.NodeDirectory:
			out = append(out, m)
		case assignment.Synced:
			return out
		}
	}
}

// quiet asserts that no assignment is there or under way for what the queue holds.
func (h *harness) quiet() {
	h.Helper()
	h.c.Sync()
	h.synced()
	select {
	case a := <-h.edge:
		h.Fatalf("assignment %s with %d targets sent to %s", a.Revision, len(a.Targets), a.Node)
	default:
	}
}

// stepTo moves the clock there, once the queue waits for it.
func (h *harness) stepTo(offset time.Duration) {
	h.Helper()
	stepTo(h.T, h.clock, offset)
}

func stepTo(t *testing.T, c timerClock, offset time.Duration) {
	t.Helper()
	at := start.Add(offset)
	for !receiveOne(t, "timer for "+offset.String(), c.armed).Equal(at) {
	}
	c.SetTime(at)
}

func (h *harness) create(obj runtime.Object) {
	h.Helper()
	var err error
	switch obj := obj.(type) {
	case *streamrules.StreamRule:
		_, err = h.api.StreamRules(obj.Namespace).Create(context.Background(), obj, metav1.CreateOptions{})
	case *streamrules.StreamRuleEndpoint:
		_, err = h.api.StreamRuleEndpoints(obj.Namespace).Create(context.Background(), obj, metav1.CreateOptions{})
	}
	if err != nil {
		h.Fatal(err)
	}
}

func (h *harness) update(obj runtime.Object) {
	h.Helper()
	var err error
	switch obj := obj.(type) {
	case *streamrules.StreamRule:
		_, err = h.api.StreamRules(obj.Namespace).Update(context.Background(), obj, metav1.UpdateOptions{})
	case *streamrules.StreamRuleEndpoint:
		_, err = h.api.StreamRuleEndpoints(obj.Namespace).Update(context.Background(), obj, metav1.UpdateOptions{})
	}
	if err != nil {
		h.Fatal(err)
	}
}

func (h *harness) deleteRule(name string) {
	h.Helper()
	if err := h.api.StreamRules("default").Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		h.Fatal(err)
	}
}

// rule makes a rule of namespace default; each target is "endpoint node path".
func rule(name string, targets ...string) *streamrules.StreamRule {
	r := &streamrules.StreamRule{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)}}
	for _, target := range targets {
		f := strings.Fields(target)
		r.Spec.Targets = append(r.Spec.Targets, streamrules.StreamTarget{
			EndpointRef: f[0], TargetResource: streamrules.TargetResource{NodeName: f[1], Path: f[2]},
		})
	}
	return r
}

func endpoint(name, url string) *streamrules.StreamRuleEndpoint {
	return &streamrules.StreamRuleEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       streamrules.StreamRuleEndpointSpec{Protocol: streamrules.ProtocolWebSocket, URL: url},
	}
}

func in(namespace string, r *streamrules.StreamRule) *streamrules.StreamRule {
	r.Namespace = namespace
	return r
}

// describe writes a directory's entries as "namespace/rule/path" and, after a colon, the problem.
func describe(d assignment.NodeDirectory) []string {
	var out []string
	for _, e := range d.Entries {
		s := e.Namespace + "/" + e.Rule + e.Path
		if e.Problem != "" {
			s += ": " + e.Problem
		}
		out = append(out, s)
	}
	return out
}

func (h *harness) wantDirectory(node string, entries ...string) assignment.NodeDirectory {
	h.Helper()
	d := h.directory()
	if got := describe(d); d.Node != node || !slices.Equal(got, entries) {
		h.Fatalf("directory of %s is %q, want %q of %s", d.Node, got, entries, node)
	}
	return d
}

// wantAssignment takes the next assignment, whose targets are "rule/path url".
func (h *harness) wantAssignment(node string, targets ...string) assignment.Assignment {
	h.Helper()
	a := h.assignment()
	var got []string
	for _, t := range a.Targets {
		got = append(got, fmt.Sprintf("%s%s %s", t.Rule, t.Path, t.URL))
	}
	if a.Node != node || !slices.Equal(got, targets) {
		h.Fatalf("assignment of %s is %q, want %q of %s", a.Node, got, targets, node)
	}
	if err := a.Validate(); err != nil {
		h.Fatal(err)
	}
	return a
}

func (h *harness) confirm(a assignment.Assignment) {
	h.c.Report(assignment.Report{Node: a.Node, Revision: a.Revision, Tunnels: len(a.Targets)})
}

// settle takes the first assignment of a node that confirms it, and lets a minute pass.
func (h *harness) settle() assignment.Assignment {
	h.Helper()
	h.synced()
	a := h.assignment()
	h.confirm(a)
	h.quiet()
	h.clock.Step(time.Minute)
	return a
}

func (h *harness) syncAgain() []assignment.NodeDirectory {
	h.Helper()
	h.c.Sync()
	return h.synced()
}

func (h *harness) wantMetrics(outOfDate, sends float64) {
	h.Helper()
	h.syncAgain() // the worker has counted what it sent
	reg := prometheus.NewRegistry()
	reg.MustRegister(h.c)
	families, err := reg.Gather()
	if err != nil {
		h.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	if got["datastream_controller_nodes_out_of_date"] != outOfDate || got["datastream_controller_assignments_sent_total"] != sends {
		h.Errorf("metrics %v, want %v nodes out of date and %v sends", got, outOfDate, sends)
	}
}
