// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package edgedatastream is the edge end of data streaming: it reads the cameras of a node when the cloud asks
// for them, and sends them over one tunnel each, which the node keeps open.
package edgedatastream

import (
	"fmt"
	"strings"
	"sync"

	"github.com/kubeedge/beehive/pkg/core"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/beehive/pkg/core/model"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/config"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source/rtsp"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/instrument"
)

// What stock EdgeHub publishes when its own connection to the cloud is back.
const (
	edgeHubModule      = "edgehub"
	connectionResource = "node/connection"
	cloudConnected     = "cloud_connected"
)

// EdgeDataStream is the beehive module.
type EdgeDataStream struct {
	enable  bool
	agent   *Agent
	metrics *metricsServer // nil: nobody asked for it
}

var _ core.Module = (*EdgeDataStream)(nil)

// New configures the module. Its metrics go to Prometheus' default registry.
func New(cfg *v1alpha1.EdgeDataStream, opts ...Option) *EdgeDataStream {
	config.InitConfigure(cfg)
	return newEdgeDataStream(&config.Config.EdgeDataStream, prometheus.DefaultRegisterer, prometheus.DefaultGatherer, opts...)
}

// Register configures the module and makes it known to beehive.
func Register(cfg *v1alpha1.EdgeDataStream, opts ...Option) { core.Register(New(cfg, opts...)) }

func newEdgeDataStream(cfg *v1alpha1.EdgeDataStream, reg prometheus.Registerer, gatherer prometheus.Gatherer, opts ...Option) *EdgeDataStream {
	e := &EdgeDataStream{enable: cfg.Enable}
	if cfg.Enable {
		reg.MustRegister(instrument.NewBuildInfo(), newCertificates(cfg))
		if cfg.Metrics.Listen != "" {
			e.metrics = &metricsServer{cfg.Metrics.Listen, gatherer}
		}
		e.agent = NewAgent(cfg, DefaultSources(), NewMetrics(reg), opts...)
	}
	return e
}

// DefaultSources are the sources that come with the module.
func DefaultSources() source.Registry {
	r := source.Registry{}
	for _, scheme := range rtsp.Schemes {
		r[scheme] = rtsp.New
	}
	return r
}

// Name implements core.Module.
func (e *EdgeDataStream) Name() string { return assignment.EdgeModule }

// Group implements core.Module.
func (e *EdgeDataStream) Group() string { return assignment.EdgeModule }

// Enable implements core.Module.
func (e *EdgeDataStream) Enable() bool { return e.enable }

// Start implements core.Module. It returns once beehive's context has ended, and with it everything that
// the module has started.
func (e *EdgeDataStream) Start() {
	ctx := beehiveContext.GetContext()
	var wg sync.WaitGroup
	wg.Go(e.receive)
	if e.metrics != nil {
		wg.Go(func() { e.metrics.run(ctx) })
	}
	if err := e.agent.Run(ctx); err != nil {
		klog.ErrorS(err, "Data streaming has ended")
	}
	// Receive knows no context: an empty message ends it, unless the module was cleaned up already.
	beehiveContext.Send(e.Name(), model.Message{})
	wg.Wait()
}

// receive takes the module's messages up to an empty one, which is Start's, or beehive's of a module that is
// cleaned up.
func (e *EdgeDataStream) receive() {
	for {
		msg, err := beehiveContext.Receive(e.Name())
		if err != nil || msg.GetID() == "" && msg.GetResource() == "" {
			return
		}
		if err := e.handle(&msg); err != nil {
			klog.ErrorS(err, "Message is ignored", "source", msg.GetSource(), "resource", msg.GetResource())
		}
	}
}

func (e *EdgeDataStream) handle(msg *model.Message) error {
	resource := msg.GetResource()
	switch {
	case strings.HasSuffix(resource, assignment.Resource) && msg.GetOperation() == assignment.Operation:
		as, err := content(msg)
		if err != nil {
			return err
		}
		return e.agent.Apply(as)
	case msg.GetSource() == edgeHubModule && resource == connectionResource:
		if fmt.Sprint(msg.GetContent()) == cloudConnected {
			e.agent.Reconnected()
		}
		return nil
	default:
		return fmt.Errorf("unknown resource or operation %q", msg.GetOperation())
	}
}

// content reads the assignment, which is a Go value within a process and JSON from EdgeHub.
func content(msg *model.Message) (assignment.Assignment, error) {
	switch c := msg.GetContent().(type) {
	case assignment.Assignment:
		return c, nil
	case *assignment.Assignment:
		if c != nil {
			return *c, nil
		}
	}
	b, err := msg.GetContentData()
	if err != nil {
		return assignment.Assignment{}, fmt.Errorf("reading message: %w", err)
	}
	return assignment.Decode(b)
}
