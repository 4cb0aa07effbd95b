// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"encoding/json"
	"testing"

	"github.com/kubeedge/beehive/pkg/common"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/beehive/pkg/core/model"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// beehive has one context for the process, which ends but once: this test runs only the first time.
func TestModule(t *testing.T) {
	if beehiveContext.GetContext().Err() != nil {
		t.Skip("beehive has ended")
	}
	c, cfg := newCloud(t)
	e := newEdgeDataStream(cfg, prometheus.NewRegistry(), nil)
	if !e.Enable() {
		t.Fatal("the module is not enabled")
	}
	beehiveContext.InitContext([]string{common.MsgCtxTypeChannel})
	beehiveContext.AddModule(&common.ModuleInfo{ModuleName: e.Name(), ModuleType: common.MsgCtxTypeChannel})
	beehiveContext.AddModuleGroup(e.Name(), e.Group())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.Start()
	}()
	receive(t, c.revisions)

	as := assignment.New(testNode, []assignment.Target{target("rtsp://127.0.0.1:1/")})
	msg := model.NewMessage("").BuildRouter(assignment.ControllerModule, assignment.Group, assignment.Resource, assignment.Operation).FillBody(as)
	beehiveContext.Send(e.Name(), *msg)
	c.accept(t).state(t, tunnel.Idle)
	if rev := receive(t, c.revisions); rev != as.Revision {
		t.Errorf("reported %q, want %q", rev, as.Revision)
	}

	msg = model.NewMessage("").BuildRouter(edgeHubModule, "resource", connectionResource, "publish").FillBody(cloudConnected)
	beehiveContext.Send(e.Name(), *msg)
	if rev := receive(t, c.revisions); rev != as.Revision {
		t.Errorf("reported %q when EdgeHub came back, want %q", rev, as.Revision)
	}

	beehiveContext.Cancel()
	receive(t, ended)
	beehiveContext.Cleanup(e.Name())
}

func TestContent(t *testing.T) {
	as := assignment.New(testNode, []assignment.Target{target("rtsp://127.0.0.1:1/")})
	encoded, err := json.Marshal(as)
	if err != nil {
		t.Fatal(err)
	}
	var decoded map[string]any
	if err := json.Unmarshal(encoded, &decoded); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]any{
		"value": as, "pointer": &as, "bytes": encoded, "text": string(encoded), "map": decoded,
	} {
		got, err := content(model.NewMessage("").FillBody(body))
		if err != nil || got.Revision != as.Revision || len(got.Targets) != 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, body := range []any{nil, (*assignment.Assignment)(nil), "", "{}", 7} {
		if got, err := content(model.NewMessage("").FillBody(body)); err == nil {
			t.Errorf("%v is read as %+v", body, got)
		}
	}
}
