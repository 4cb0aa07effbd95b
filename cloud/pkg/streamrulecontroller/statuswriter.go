// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/kubeedge/datastream/pkg/assignment"
	streamrulesclient "github.com/kubeedge/datastream/pkg/client/clientset/versioned/typed/streamrules/v1alpha1"
)

// What the API server is spared: 1000 rules that all change at once are written within 50 seconds.
const (
	writesPerSecond = 20
	writeBurst      = 50
	// stateInterval is the least time between two writes of one status.
	stateInterval = time.Second
	// viewersInterval is the same where only numbers of viewers changed. Those are written only while half of the
	// burst is left, so that they never delay a state.
	viewersInterval = 10 * time.Second
	// writeTimeout bounds one write.
	writeTimeout = 10 * time.Second
	// Failed writes are repeated after waits between these.
	retryMin, retryMax = time.Second, 5 * time.Minute
)

// restartGrace is how long after the start a status that an earlier process has written stays as it is. Until the nodes have dialled
// again, everything would be reported as away just because cloudcore was restarted.
const restartGrace = 10 * time.Second

// statusConfig is what a statusWriter needs from outside.
type statusConfig struct {
	clock    clock.WithTicker
	recorder record.EventRecorder // may be nil
}

// statusWriter writes the statuses of rules and endpoints. Only one cloudcore may do so at a time: two that see
// different nodes would overwrite each other's.
type statusWriter struct {
	api     streamrulesclient.StreamrulesV1alpha1Interface
	rules   *rules
	seen    *observations
	clock   clock.WithTicker
	events  events
	metrics *metrics
	queue   workqueue.RateLimitingInterface // of ruleKey and endpointKey
	limiter *rate.Limiter
	started time.Time

	written map[types.NamespacedName]time.Time // when each rule's status was last written; the worker's own
}

type (
	ruleKey     types.NamespacedName
	endpointKey types.NamespacedName
)

func newStatusWriter(api streamrulesclient.StreamrulesV1alpha1Interface, rules *rules, seen *observations, cfg statusConfig, m *metrics) *statusWriter {
	return &statusWriter{
		api: api, rules: rules, seen: seen, clock: cfg.clock, events: events{cfg.recorder}, metrics: m,
		queue: workqueue.NewRateLimitingQueueWithConfig(
			workqueue.NewItemExponentialFailureRateLimiter(retryMin, retryMax), workqueue.RateLimitingQueueConfig{Clock: cfg.clock}),
		limiter: rate.NewLimiter(writesPerSecond, writeBurst),
		started: cfg.clock.Now(),
		written: make(map[types.NamespacedName]time.Time),
	}
}

// touch has a rule looked at after delay.
func (w *statusWriter) touch(rule types.NamespacedName, delay time.Duration) {
	w.queue.AddAfter(ruleKey(rule), delay)
}

func (w *statusWriter) touchEndpoint(endpoint types.NamespacedName) {
	w.queue.AddAfter(endpointKey(endpoint), gatherTime)
}

// run writes until ctx ends and the queue is shut down.
func (w *statusWriter) run(ctx context.Context) {
	if w.rules.synced(ctx) {
		w.work(ctx)
	}
}

func (w *statusWriter) work(ctx context.Context) {
	for {
		item, end := w.queue.Get()
		if end || ctx.Err() != nil {
			return
		}
		again, err := w.sync(ctx, item)
		switch {
		case err != nil && ctx.Err() == nil:
			w.failed(item, err)
		case again > 0:
			w.queue.AddAfter(item, again)
		default:
			w.queue.Forget(item)
		}
		w.queue.Done(item)
	}
}

func (w *statusWriter) failed(item any, err error) {
	switch {
	case apierrors.IsNotFound(err): // deleted meanwhile
		w.queue.Forget(item)
		return
	case apierrors.IsConflict(err): // the informer will show what is there now
		w.metrics.statuses.WithLabelValues("conflict").Inc()
	default:
		w.metrics.statuses.WithLabelValues("error").Inc()
		klog.ErrorS(err, "Status not written, it is tried again")
	}
	w.queue.AddRateLimited(item)
}

func (w *statusWriter) sync(ctx context.Context, item any) (again time.Duration, err error) {
	switch item := item.(type) {
	case ruleKey:
		return w.syncRule(ctx, types.NamespacedName(item))
	case endpointKey:
		return 0, w.syncEndpoint(ctx, types.NamespacedName(item))
	default:
		return 0, nil
	}
}

// syncRule writes the status of a rule if it is another than is there, or returns after which time it may.
func (w *statusWriter) syncRule(ctx context.Context, name types.NamespacedName) (again time.Duration, err error) {
	rule, err := w.rules.rules.StreamRules(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		delete(w.written, name)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	targets, known := w.seen.of(rule)
	if !known {
		return 0, nil
	}
	now := w.clock.Now()
	if rule.Status.ObservedGeneration != 0 && w.written[name].IsZero() {
		if left := w.started.Add(restartGrace).Sub(now); left > 0 {
			return left, nil
		}
	}
	status := statusOf(rule, targets, now)
	interval := stateInterval
	switch compare(&rule.Status, &status) {
	case same:
		return 0, nil
	case viewersOnly:
		interval = viewersInterval
		if w.limiter.TokensAt(now) < writeBurst/2 {
			return viewersInterval, nil
		}
	}
	if left := w.written[name].Add(interval).Sub(now); left > 0 {
		return left, nil
	}
	if err := w.await(ctx); err != nil {
		return 0, err
	}
	w.written[name] = w.clock.Now()
	patch, err := patchOf(rule, status)
	if err != nil {
		return 0, err
	}
	byUs := metav1.PatchOptions{FieldManager: assignment.ControllerModule}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_, err = w.api.StreamRules(rule.Namespace).Patch(ctx, rule.Name, types.MergePatchType, patch, byUs, "status")
	if err != nil {
		return 0, fmt.Errorf("writing status of StreamRule %s: %w", name, err)
	}
	w.metrics.statuses.WithLabelValues("ok").Inc()
	w.events.transitions(rule, &status)
	return 0, nil
}

func (w *statusWriter) syncEndpoint(ctx context.Context, name types.NamespacedName) error {
	endpoint, err := w.rules.endpoints.StreamRuleEndpoints(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	problem, known := w.rules.problemOf(endpoint)
	if !known {
		return nil
	}
	status := endpointStatusOf(endpoint, problem, w.clock.Now())
	if apiequality.Semantic.DeepEqual(endpoint.Status, status) {
		return nil
	}
	if err := w.await(ctx); err != nil {
		return err
	}
	patch, err := patchOf(endpoint, status)
	if err != nil {
		return err
	}
	byUs := metav1.PatchOptions{FieldManager: assignment.ControllerModule}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_, err = w.api.StreamRuleEndpoints(name.Namespace).Patch(ctx, name.Name, types.MergePatchType, patch, byUs, "status")
	if err != nil {
		return fmt.Errorf("writing status of StreamRuleEndpoint %s: %w", name, err)
	}
	w.metrics.statuses.WithLabelValues("ok").Inc()
	return nil
}

// await waits for the limiter.
func (w *statusWriter) await(ctx context.Context) error {
	now := w.clock.Now()
	delay := w.limiter.ReserveN(now, 1).DelayFrom(now)
	if delay <= 0 {
		return ctx.Err()
	}
	timer := w.clock.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}

// patchOf is a JSON merge patch (RFC 7396) that replaces the status of precisely this version of the object: unlike an
// update it holds nothing else of it. Every member of these statuses that is ever set stays set, so none need be nulled.
func patchOf(obj metav1.Object, status any) ([]byte, error) {
	type version struct {
		UID             types.UID `json:"uid,omitempty"`
		ResourceVersion string    `json:"resourceVersion,omitempty"`
	}
	patch, err := json.Marshal(struct {
		Metadata version `json:"metadata"`
		Status   any     `json:"status"`
	}{version{obj.GetUID(), obj.GetResourceVersion()}, status})
	if err != nil {
		return nil, fmt.Errorf("encoding status: %w", err)
	}
	return patch, nil
}
