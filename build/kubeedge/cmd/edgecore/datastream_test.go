// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/kubeedge/api/apis/componentconfig/edgecore/v1alpha2"
	"github.com/kubeedge/beehive/pkg/core/model"

	"github.com/kubeedge/datastream/build/kubeedge/internal/section"
	"github.com/kubeedge/datastream/pkg/assignment"
)

func TestDefaults(t *testing.T) {
	stock := v1alpha2.NewDefaultEdgeCoreConfig()
	stock.Modules.Edged.HostnameOverride = "edge-1"
	stock.DataBase.DataSource = "/data/edge-1/edgecore.db"
	hub := stock.Modules.EdgeHub
	hub.TLSCAFile, hub.TLSCertFile, hub.TLSPrivateKeyFile = "ca", "cert", "key"
	hub.WebSocket.Server = "[2001:db8::1]:10000"
	c := defaults(stock)
	for _, f := range [...]struct{ name, got, want string }{
		{"nodeName", c.NodeName, "edge-1"},
		{"server", c.Server, "wss://[2001:db8::1]:10006"},
		{"CA", c.CAFile, "ca"}, {"certificate", c.CertFile, "cert"}, {"key", c.KeyFile, "key"},
		{"storeFile", c.StoreFile, "/data/edge-1/datastream/assignment.json"},
	} {
		if f.got != f.want {
			t.Errorf("%s is %q, want %q", f.name, f.got, f.want)
		}
	}
	hub.Quic.Enable, hub.Quic.Server = true, "cloud.example:10001"
	if got := defaults(stock).Server; got != "wss://cloud.example:10006" {
		t.Errorf("server beside QUIC is %q", got)
	}
}

func TestWhatIsWrittenCounts(t *testing.T) {
	d, err := section.Parse([]byte(`modules: {edgeDataStream: {enable: true, nodeName: camera-node, server: "wss://s:1"}}`))
	if err != nil {
		t.Fatal(err)
	}
	c, errs := read(d, v1alpha2.NewDefaultEdgeCoreConfig())
	if len(errs) > 0 || !c.Enable || c.NodeName != "camera-node" || c.Server != "wss://s:1" {
		t.Errorf("%+v, %v", c, errs)
	}
}

func TestEdgeHubKeepsTheNewestAssignment(t *testing.T) {
	h := newEdgeHub()
	for _, id := range []string{"1", "2", "3"} {
		m := model.NewMessage("").BuildRouter(assignment.ControllerModule, assignment.Group, assignment.Resource, assignment.Operation).FillBody(id)
		if !h.Filter(m) {
			t.Fatal("an assignment is not taken")
		}
		if err := h.Process(m, nil); err != nil { // nobody reads: it must not block
			t.Fatal(err)
		}
	}
	if m := <-h.assignments; m.GetContent() != "3" {
		t.Errorf("got %v", m.GetContent())
	}
	if h.Filter(model.NewMessage("").BuildRouter("edgecontroller", "resource", "default/pod/a", "update")) {
		t.Error("another module's message is taken")
	}
}
