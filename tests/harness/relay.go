// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"strings"
	"sync"

	"github.com/kubeedge/beehive/pkg/core"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/beehive/pkg/core/model"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/assignment"
)

// relayModule is the name under which cloud modules find CloudHub.
const relayModule = "cloudhub"

// Relay stands in for CloudHub and EdgeHub: it takes messages for a node from cloud modules and gives them to the edge module
// of this process, as JSON and with the node trimmed from the resource, as the real pair does. Like CloudHub's queue without
// acknowledgements it loses whatever comes while the node is offline.
type Relay struct {
	node    string
	relayed func(content []byte) // may be nil

	mu      sync.Mutex
	offline bool
	lost    int
}

var _ core.Module = (*Relay)(nil)

// Name implements core.Module.
func (*Relay) Name() string { return relayModule }

// Group implements core.Module.
func (*Relay) Group() string { return relayModule }

// Enable implements core.Module.
func (*Relay) Enable() bool { return true }

// Start implements core.Module: it relays until its channel is closed.
func (r *Relay) Start() {
	for {
		m, err := beehiveContext.Receive(relayModule)
		if err != nil || beehiveContext.GetContext().Err() != nil {
			return
		}
		r.relay(m)
	}
}

func (r *Relay) relay(m model.Message) {
	resource, ok := strings.CutPrefix(m.GetResource(), "node/"+r.node+"/")
	if !ok {
		return // for a node that is not here
	}
	r.mu.Lock()
	offline := r.offline
	if offline {
		r.lost++
	}
	r.mu.Unlock()
	if offline {
		return
	}
	content, err := m.GetContentData()
	if err != nil {
		klog.ErrorS(err, "Relaying message", "resource", m.GetResource())
		return
	}
	if r.relayed != nil {
		r.relayed(content)
	}
	out := model.NewMessage("").BuildRouter(m.GetSource(), m.GetGroup(), resource, m.GetOperation()).FillBody(string(content))
	beehiveContext.Send(assignment.EdgeModule, *out)
}

// SetOffline cuts the relay, or joins it again and tells the edge so, as EdgeHub does.
func (r *Relay) SetOffline(offline bool) {
	r.mu.Lock()
	r.offline = offline
	r.mu.Unlock()
	if !offline {
		m := model.NewMessage("").BuildRouter("edgehub", "resource", "node/connection", "publish").FillBody("cloud_connected")
		beehiveContext.Send(assignment.EdgeModule, *m)
	}
}

// Lost is the number of messages that were lost.
func (r *Relay) Lost() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}
