// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package streamrulecontroller is the beehive module StreamRuleController of cloudcore. It turns StreamRules and
// their StreamRuleEndpoints into one assignment per node, has CloudHub bring it there until the node says that it
// runs it, and tells CloudDataStream which streams exist.
package streamrulecontroller

import (
	"context"
	"sync"

	"github.com/kubeedge/beehive/pkg/core"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/beehive/pkg/core/model"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
)

// cloudHub is KubeEdge's module that brings messages to nodes.
const cloudHub = "cloudhub"

// StreamRuleController is the beehive module.
type StreamRuleController struct {
	cfg    v1alpha1.StreamRuleController
	client versioned.Interface
}

var _ core.Module = (*StreamRuleController)(nil)

// New configures the module. It reads rules and endpoints through client.
func New(cfg *v1alpha1.StreamRuleController, client versioned.Interface) *StreamRuleController {
	return &StreamRuleController{cfg: *cfg, client: client}
}

// Register configures the module and makes it known to beehive.
func Register(cfg *v1alpha1.StreamRuleController, client versioned.Interface) {
	core.Register(New(cfg, client))
}

// Name is the module's name.
func (*StreamRuleController) Name() string { return assignment.ControllerModule }

// Group is the module's group.
func (*StreamRuleController) Group() string { return assignment.ControllerModule }

// Enable says whether the module runs.
func (s *StreamRuleController) Enable() bool { return s.cfg.Enable }

// Start runs the module until beehive's context ends and the module's channel is closed.
func (s *StreamRuleController) Start() {
	c := NewController(&s.cfg, s.client, beehiveSender{})
	// cloudcore's monitor server serves the default registry.
	if err := prometheus.Register(c); err != nil {
		klog.ErrorS(err, "StreamRuleController has no metrics")
	}
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
		report, ok := m.GetContent().(assignment.Report)
		if !ok {
			klog.InfoS("Ignoring message", "source", m.GetSource(), "operation", m.GetOperation())
			continue
		}
		c.Report(report)
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

func send(module, group, resource, operation string, body any) {
	message := model.NewMessage("").BuildRouter(assignment.ControllerModule, group, resource, operation).FillBody(body)
	beehiveContext.Send(module, *message)
}
