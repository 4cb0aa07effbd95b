// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package streamrulecontroller is the beehive module StreamRuleController of cloudcore. It turns StreamRules and
// their StreamRuleEndpoints into one assignment per node, has CloudHub bring it there until the node says that it
// runs it, tells CloudDataStream which streams exist, and writes the statuses of rules and endpoints.
package streamrulecontroller

import (
	"context"
	"sync"

	"github.com/kubeedge/beehive/pkg/core"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/beehive/pkg/core/model"
	"github.com/prometheus/client_golang/prometheus"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
)

// cloudHub is KubeEdge's module that brings messages to nodes.
const cloudHub = "cloudhub"

// StreamRuleController is the beehive module.
type StreamRuleController struct {
	cfg     v1alpha1.StreamRuleController
	client  versioned.Interface
	events  typedcorev1.EventsGetter  // nil: none are written
	secrets typedcorev1.SecretsGetter // nil: none are read
	nodes   metadata.Interface        // nil: nobody knows of them
	metrics prometheus.Registerer
}

var _ core.Module = (*StreamRuleController)(nil)

// Option adds something to the module.
type Option func(*StreamRuleController)

// WithEvents has the module write Events about its rules through client, which is the CoreV1 of a clientset.
func WithEvents(client typedcorev1.EventsGetter) Option {
	return func(s *StreamRuleController) { s.events = client }
}

// WithSecrets has the module read the credentials that endpoints refer to through client, which is the CoreV1 of a clientset.
func WithSecrets(client typedcorev1.SecretsGetter) Option {
	return func(s *StreamRuleController) { s.secrets = client }
}

// WithNodes has the module look at Node objects through client: those of nodes that were deleted are cut off.
func WithNodes(client metadata.Interface) Option {
	return func(s *StreamRuleController) { s.nodes = client }
}

// WithMetrics has the module register its metrics there instead of in the default registry.
func WithMetrics(reg prometheus.Registerer) Option {
	return func(s *StreamRuleController) { s.metrics = reg }
}

// New configures the module. It reads rules and endpoints through client, and writes their statuses.
func New(cfg *v1alpha1.StreamRuleController, client versioned.Interface, options ...Option) *StreamRuleController {
	s := &StreamRuleController{cfg: *cfg, client: client, metrics: prometheus.DefaultRegisterer}
	for _, apply := range options {
		apply(s)
	}
	return s
}

// Register configures the module and makes it known to beehive.
func Register(cfg *v1alpha1.StreamRuleController, client versioned.Interface, options ...Option) {
	core.Register(New(cfg, client, options...))
}

// Name is the module's name.
func (*StreamRuleController) Name() string { return assignment.ControllerModule }

// Group is the module's group.
func (*StreamRuleController) Group() string { return assignment.ControllerModule }

// Enable says whether the module runs.
func (s *StreamRuleController) Enable() bool { return s.cfg.Enable }

// Start runs the module until beehive's context ends and the module's channel is closed.
func (s *StreamRuleController) Start() {
	recorder, stop := newRecorder(s.events)
	defer stop()
	c := NewController(&s.cfg, s.client, beehiveSender{}, recorder, s.secrets)
	if s.nodes != nil {
		c.FollowNodes(s.nodes)
	}
	if err := s.metrics.Register(c); err != nil {
		klog.ErrorS(err, "StreamRuleController has no metrics")
	}
	defer s.metrics.Unregister(c)
	run(beehiveContext.GetContext(), c)
}

func run(ctx context.Context, c *Controller) {
	var controller sync.WaitGroup
	controller.Go(func() { c.Run(ctx) })
	receive(ctx, c)
	controller.Wait()
}

// receive hands the module's messages to the controller until the module's channel is closed. It never sends: beehive
// blocks a sender whose receiver is behind, so two modules that answer from their receive loops can lock each other up.
func receive(ctx context.Context, c *Controller) {
	for {
		m, err := beehiveContext.Receive(assignment.ControllerModule)
		if err != nil || ctx.Err() != nil {
			return
		}
		if m.GetOperation() == assignment.OpSync {
			c.Sync()
			continue
		}
		switch content := m.GetContent().(type) {
		case assignment.Report:
			c.Report(content)
		case assignment.StreamStates:
			c.States(content)
		default:
			klog.InfoS("Message is ignored", "source", m.GetSource(), "operation", m.GetOperation())
		}
	}
}

// beehiveSender sends what the controller has to say as beehive messages.
type beehiveSender struct{}

func (beehiveSender) ToEdge(a assignment.Assignment) {
	send(cloudHub, assignment.Group, assignment.NodeResource(a.Node), assignment.Operation, a)
}

func (beehiveSender) ToCloud(d assignment.NodeDirectory) {
	send(assignment.CloudModule, "", assignment.Resource, assignment.OpDirectory, d)
}

func (beehiveSender) Synced() {
	send(assignment.CloudModule, "", assignment.Resource, assignment.OpSynced, assignment.Synced{})
}

func (beehiveSender) Waiting(what string) {
	send(assignment.CloudModule, "", assignment.Resource, assignment.OpWaiting, assignment.Waiting{For: what})
}

func send(module, group, resource, operation string, body any) {
	message := model.NewMessage("").BuildRouter(assignment.ControllerModule, group, resource, operation).FillBody(body)
	beehiveContext.Send(module, *message)
}
