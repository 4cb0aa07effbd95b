// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
)

// Sender takes what the controller has to say. Its methods are called from one goroutine; they may block, but
// must return once the program ends.
type Sender interface {
	// ToEdge sends an assignment to its node. It may be lost on the way.
	ToEdge(assignment.Assignment)
	// ToCloud tells CloudDataStream a node's directory.
	ToCloud(assignment.NodeDirectory)
	// Synced tells CloudDataStream that it has every node's directory.
	Synced()
	// Waiting tells CloudDataStream, in one line, what there has to be before it is told anything else.
	Waiting(what string)
}

// Controller is the module without beehive. Everything it does for a node follows from the present rules, endpoints
// and the node's last report, never from the event that set it off.
type Controller struct {
	rules   *rules
	objects *nodeObjects
	send    Sender
	clock   clock.Clock
	queue   workqueue.DelayingInterface // of node names and syncRequests
	resend  resendPolicy
	metrics *metrics
	seen    *observations
	status  *statusWriter

	mu      sync.Mutex
	reports map[string]assignment.Report // the newest of each node, until the worker takes it

	nodes map[string]*nodeState // the worker's own
}

// syncRequest asks the worker for every node's directory.
type syncRequest struct{}

// nodeState is what the controller knows of one node.
type nodeState struct {
	told     []assignment.Entry // what CloudDataStream knows
	revision string             // of the same
	delivery delivery
}

// NewController makes a controller that reads rules and endpoints through client, and writes their statuses through it.
// Transitions become Events of recorder, and credentials come from secrets; both may be nil. It must be Run.
func NewController(cfg *v1alpha1.StreamRuleController, client versioned.Interface, send Sender, recorder record.EventRecorder,
	secrets typedcorev1.SecretsGetter,
) *Controller {
	jitter := func(d time.Duration) time.Duration { return wait.Jitter(d, 0.2) }
	return newController(cfg, client, secrets, send, clock.RealClock{}, jitter, statusConfig{clock.RealClock{}, recorder})
}

func newController(cfg *v1alpha1.StreamRuleController, client versioned.Interface, secrets typedcorev1.SecretsGetter, send Sender,
	clk clock.WithTicker, jitter func(time.Duration) time.Duration, status statusConfig,
) *Controller {
	c := &Controller{
		send:    send,
		clock:   clk,
		queue:   workqueue.NewDelayingQueueWithConfig(workqueue.DelayingQueueConfig{Clock: clk}),
		resend:  resendPolicy{min: cfg.ResendMin.Duration, max: cfg.ResendMax.Duration, jitter: jitter},
		metrics: newMetrics(),
		reports: make(map[string]assignment.Report),
		nodes:   make(map[string]*nodeState),
	}
	c.objects = newNodeObjects(cfg.Nodes, func(node string) { c.queue.Add(node) }, func(node string) bool { return c.rules.names(node) })
	c.seen = newObservations(func(rule types.NamespacedName, delay time.Duration) { c.status.touch(rule, delay) })
	c.rules = newRules(client, secrets, changes{
		node:     func(node string) { c.queue.Add(node) },
		rule:     func(rule types.NamespacedName) { c.status.touch(rule, gatherTime) },
		endpoint: func(endpoint types.NamespacedName) { c.status.touchEndpoint(endpoint) },
	})
	c.status = newStatusWriter(client.StreamrulesV1alpha1(), c.rules, c.seen, status, c.metrics)
	return c
}

// Describe implements prometheus.Collector.
func (c *Controller) Describe(ch chan<- *prometheus.Desc) {
	c.metrics.Describe(ch)
	ch <- c.metrics.queued
}

// Collect implements prometheus.Collector.
func (c *Controller) Collect(ch chan<- prometheus.Metric) {
	c.metrics.Collect(ch)
	for queue, n := range map[string]int{"nodes": c.queue.Len(), "statuses": c.status.queue.Len()} {
		ch <- prometheus.MustNewConstMetric(c.metrics.queued, prometheus.GaugeValue, float64(n), queue)
	}
}

// Sync has every node's directory and then Synced sent, once the controller knows them. It never blocks.
func (c *Controller) Sync() { c.queue.Add(syncRequest{}) }

// Report takes what a node says it runs. It never blocks.
func (c *Controller) Report(r assignment.Report) {
	c.mu.Lock()
	c.reports[r.Node] = r
	c.mu.Unlock()
	c.queue.Add(r.Node)
}

// States takes what streams do. It never blocks for long.
func (c *Controller) States(s assignment.StreamStates) { c.seen.setStreams(s) }

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	var workers sync.WaitGroup
	c.rules.start(ctx)
	c.objects.start(ctx)
	workers.Go(func() { c.work(ctx) })
	workers.Go(func() { c.status.run(ctx) })
	<-ctx.Done()
	c.queue.ShutDown()
	c.status.queue.ShutDown()
	workers.Wait()
	c.rules.wait()
	c.objects.wait()
}

// work is the only goroutine that sends.
func (c *Controller) work(ctx context.Context) {
	if !await(ctx, slices.Concat(c.rules.listings, c.objects.listings()), c.send.Waiting) {
		return
	}
	// CloudDataStream may have asked before this module was there to hear it, so it is told without being asked.
	c.syncAll(ctx)
	for {
		item, end := c.queue.Get()
		if end || ctx.Err() != nil {
			return
		}
		switch item := item.(type) {
		case syncRequest:
			c.syncAll(ctx)
		case string:
			c.syncNode(item, false)
		}
		c.queue.Done(item)
	}
}

func (c *Controller) syncAll(ctx context.Context) {
	nodes := sets.KeySet(c.nodes).Insert(c.rules.nodes()...)
	for _, node := range sets.List(nodes) {
		if ctx.Err() != nil {
			return
		}
		c.syncNode(node, true)
	}
	c.send.Synced()
}

// syncNode brings CloudDataStream and the node up to date. tell is set if CloudDataStream may know nothing.
func (c *Controller) syncNode(node string, tell bool) {
	all, targets, known := c.rules.resolve(node)
	refused := c.objects.refused(node)
	if refused != nil {
		withdraw(all, refused)
		targets = nil // who may not serve cameras is not told where they are
	} else if !known && !tell {
		return // the node is looked at in a moment, when the Secret is there: until then CloudDataStream has what was known before
	}
	entries := directory(all)
	desired := assignment.New(node, targets)
	report, reported := c.takeReport(node)

	n := c.nodes[node]
	if n == nil {
		if len(entries) == 0 && !reported {
			return // a late timer of a node that is done with
		}
		n = &nodeState{delivery: delivery{policy: &c.resend}}
		c.nodes[node] = n
		c.metrics.outOfDate.Inc()
	}

	now := c.clock.Now()
	wasDelivered := n.delivery.delivered()
	n.delivery.desire(desired.Revision, len(desired.Targets))
	if reported {
		n.delivery.report(report, now)
	}
	// The status is told of the targets before CloudDataStream, which then tells their states.
	c.seen.setNode(node, all, n.delivery.delivered(), n.delivery.reported.Tunnels > 0)
	// With the directory before the assignment, CloudDataStream knows a target before its tunnel is dialled.
	changed := !slices.Equal(n.told, entries) || len(entries) > 0 && n.revision != desired.Revision
	if tell || changed {
		n.told, n.revision = entries, desired.Revision
		c.send.ToCloud(assignment.NodeDirectory{Node: node, Revision: desired.Revision, Entries: entries, Refused: refused.text()})
	}
	if n.delivery.due(now) {
		c.deliver(n, desired, now)
	}

	switch delivered := n.delivery.delivered(); {
	case delivered && !wasDelivered:
		klog.InfoS("Assignment confirmed", "node", node, "revision", desired.Revision)
		c.metrics.outOfDate.Dec()
	case !delivered && wasDelivered:
		c.metrics.outOfDate.Inc()
	}
	c.reschedule(node, n, len(entries), now)
}

func (c *Controller) deliver(n *nodeState, a assignment.Assignment, now time.Time) {
	level := klog.Level(0)
	if n.delivery.sent == a.Revision {
		level = 2 // again: a node that is away for a week must not fill the log
	}
	klog.V(level).InfoS("Assignment sent", "node", a.Node, "revision", a.Revision, "targets", len(a.Targets))
	c.metrics.sends.Inc()
	n.delivery.send(now)
	c.send.ToEdge(a)
}

// reschedule has the node looked at again when it may be due, or forgets it when there is nothing left to do for it.
func (c *Controller) reschedule(node string, n *nodeState, entries int, now time.Time) {
	next, waiting := n.delivery.nextSend()
	switch {
	case waiting:
		c.queue.AddAfter(node, next.Sub(now))
	case entries == 0:
		if !n.delivery.delivered() {
			c.metrics.outOfDate.Dec()
		}
		delete(c.nodes, node)
	}
}

func (c *Controller) takeReport(node string) (assignment.Report, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.reports[node]
	delete(c.reports, node)
	return r, ok
}
