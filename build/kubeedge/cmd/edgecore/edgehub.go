// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync"

	"github.com/kubeedge/beehive/pkg/core"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/beehive/pkg/core/model"
	"github.com/kubeedge/kubeedge/edge/pkg/common/message"
	"github.com/kubeedge/kubeedge/edge/pkg/common/modules"
	"github.com/kubeedge/kubeedge/edge/pkg/edgehub/clients"
	"github.com/kubeedge/kubeedge/edge/pkg/edgehub/common/msghandler"

	"github.com/kubeedge/datastream/pkg/assignment"
)

// edgeHub brings what stock EdgeHub has for EdgeDataStream there: assignments, as one of EdgeHub's handlers, and the news
// of its connection, as a module of a group that gets them.
type edgeHub struct {
	// assignments holds the newest one. Each is a node's whole desired state, so an older one is worth nothing.
	assignments chan model.Message
}

var (
	_ core.Module        = (*edgeHub)(nil)
	_ msghandler.Handler = (*edgeHub)(nil)
)

func newEdgeHub() *edgeHub { return &edgeHub{assignments: make(chan model.Message, 1)} }

// Filter takes the controller's messages.
func (*edgeHub) Filter(m *model.Message) bool { return m.GetSource() == assignment.ControllerModule }

// Process does not block: EdgeHub reads nothing meanwhile.
func (h *edgeHub) Process(m *model.Message, _ clients.Adapter) error {
	for {
		select {
		case h.assignments <- *m:
			return nil
		default:
		}
		select {
		case <-h.assignments:
		default:
		}
	}
}

// Name implements core.Module.
func (*edgeHub) Name() string { return assignment.EdgeModule + "hub" }

// Group is the least busy of those that EdgeHub tells of its connection.
func (*edgeHub) Group() string { return modules.BusGroup }

// Enable implements core.Module.
func (*edgeHub) Enable() bool { return true }

// Start runs until beehive's context ends and the module is cleaned up.
func (h *edgeHub) Start() {
	var all sync.WaitGroup
	all.Go(func() { h.forward(beehiveContext.GetContext()) })
	h.receive()
	all.Wait()
}

func (h *edgeHub) forward(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-h.assignments:
			beehiveContext.Send(assignment.EdgeModule, m)
		}
	}
}

// receive passes on the news of the connection until the module's channel is closed. The rest is other modules'.
func (h *edgeHub) receive() {
	for {
		m, err := beehiveContext.Receive(h.Name())
		if err != nil || m.IsEmpty() {
			return
		}
		if m.GetSource() == message.SourceNodeConnection && m.GetResource() == message.ResourceTypeNodeConnection {
			beehiveContext.Send(assignment.EdgeModule, m)
		}
	}
}
