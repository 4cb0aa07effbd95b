// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/kubeedge/beehive/pkg/common"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/beehive/pkg/core/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
)

// TestMessages runs the module in beehive, with the test as CloudHub and as CloudDataStream.
func TestMessages(t *testing.T) {
	beehiveContext.InitContext([]string{common.MsgCtxTypeChannel})
	modules := []string{assignment.ControllerModule, assignment.CloudModule, cloudHub}
	for _, name := range modules {
		beehiveContext.AddModule(&common.ModuleInfo{ModuleName: name, ModuleType: common.MsgCtxTypeChannel})
	}
	client, _ := newTracker(endpoint("cam-1", camURL), rule("door", "cam-1 edge-1 /front"))
	ctx, cancel := context.WithCancel(context.Background())
	var module sync.WaitGroup
	module.Go(func() {
		run(ctx, NewController(v1alpha1.NewDefaultStreamRuleController(), client, beehiveSender{}, nil, nil))
	})
	defer func() {
		cancel()
		for _, name := range modules {
			beehiveContext.Cleanup(name)
		}
		module.Wait()
	}()

	receive := func(module string) *model.Message {
		t.Helper()
		for {
			m, err := beehiveContext.Receive(module)
			if err != nil {
				t.Fatal(err)
			}
			if _, slow := m.GetContent().(assignment.Waiting); !slow {
				return &m
			}
		}
	}
	toController := func(operation string, body any) {
		m := model.NewMessage("").BuildRouter(assignment.CloudModule, "", assignment.Resource, operation).FillBody(body)
		beehiveContext.Send(assignment.ControllerModule, *m)
	}

	directory, ok := receive(assignment.CloudModule).GetContent().(assignment.NodeDirectory)
	if !ok || directory.Node != "edge-1" {
		t.Fatalf("first came %v", directory)
	}
	if _, ok := receive(assignment.CloudModule).GetContent().(assignment.Synced); !ok {
		t.Error("no Synced")
	}
	m := receive(cloudHub)
	if m.GetGroup() != "user" || m.GetResource() != "node/edge-1/datastream/assignment" || m.GetOperation() != "update" || m.GetID() == "" {
		t.Errorf("message %v", m.Router)
	}
	body, err := json.Marshal(m.GetContent()) // as CloudHub does
	if err != nil {
		t.Fatal(err)
	}
	a, err := assignment.Decode(body)
	if err != nil || a.Revision != directory.Revision || len(a.Targets) != 1 {
		t.Errorf("assignment %v, %v", a, err)
	}

	toController("something else", nil)
	toController(assignment.OpReport, assignment.Report{Node: "edge-2", Revision: "stale"})
	for m := receive(cloudHub); m.GetResource() != assignment.NodeResource("edge-2"); m = receive(cloudHub) {
	}
	toController(assignment.OpSync, nil)
	for {
		if _, ok := receive(assignment.CloudModule).GetContent().(assignment.Synced); ok {
			break
		}
	}
}

func TestConfig(t *testing.T) {
	path := field.NewPath("modules", "streamRuleController")
	c := v1alpha1.NewDefaultStreamRuleController()
	c.Enable = true
	if errs := c.Validate(path); len(errs) != 0 {
		t.Error(errs)
	}
	c.ResendMin = metav1.Duration{Duration: 2 * time.Minute}
	if errs := c.Validate(path); len(errs) != 1 || errs[0].Field != "modules.streamRuleController.resendMax" {
		t.Error(errs)
	}
}
