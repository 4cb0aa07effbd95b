// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package clouddatastream is the beehive module CloudDataStream of cloudcore. Edges bring streams to its
// TunnelServer; its StreamServer fans them out to viewers.
package clouddatastream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/kubeedge/beehive/pkg/core"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/beehive/pkg/core/model"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/config"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
)

// CloudDataStream is the beehive module.
type CloudDataStream struct {
	enable  bool
	options []Option
}

var _ core.Module = (*CloudDataStream)(nil)

// Option changes what a Server is made of.
type Option func(*options)

type options struct {
	credentials Credentials
}

// WithCredentials replaces the PEM files of the configuration.
func WithCredentials(c Credentials) Option { return func(o *options) { o.credentials = c } }

// New configures the module.
func New(c *v1alpha1.CloudDataStream, options ...Option) *CloudDataStream {
	config.InitConfigure(c)
	return &CloudDataStream{enable: c.Enable, options: options}
}

// Register configures the module and makes it known to beehive.
func Register(c *v1alpha1.CloudDataStream, options ...Option) { core.Register(New(c, options...)) }

// Name is the module's name.
func (*CloudDataStream) Name() string { return assignment.CloudModule }

// Group is the module's group.
func (*CloudDataStream) Group() string { return assignment.CloudModule }

// Enable says whether the module runs.
func (c *CloudDataStream) Enable() bool { return c.enable }

// Start runs the module until beehive's context ends.
func (c *CloudDataStream) Start() {
	ctx := beehiveContext.GetContext()
	srv := NewServer(&config.Config, sendReport, c.options...)
	var receiver sync.WaitGroup
	reporter := newStatusReporter(srv.streams, sendStates)
	receiver.Go(func() { receive(ctx, srv, reporter) })
	receiver.Go(func() { reporter.run(ctx) })
	if err := srv.ListenAndServe(ctx); err != nil {
		klog.ErrorS(err, "CloudDataStream ended")
	}
	receiver.Wait()
}

// receive takes directories from the controller until the module's channel is closed.
func receive(ctx context.Context, srv *Server, reporter *statusReporter) {
	message := model.NewMessage("").BuildRouter(assignment.CloudModule, "", assignment.Resource, assignment.OpSync)
	beehiveContext.Send(assignment.ControllerModule, *message)
	for {
		m, err := beehiveContext.Receive(assignment.CloudModule)
		if err != nil || ctx.Err() != nil {
			return
		}
		switch content := m.GetContent().(type) {
		case assignment.NodeDirectory:
			srv.Apply(content)
		case assignment.Synced:
			srv.Synced()
			reporter.reportAll() // the controller may have just started
		default:
			klog.InfoS("Ignoring message", "source", m.GetSource(), "operation", m.GetOperation())
		}
	}
}

func sendReport(r assignment.Report) {
	message := model.NewMessage("").BuildRouter(assignment.CloudModule, "", assignment.Resource, assignment.OpReport).FillBody(r)
	beehiveContext.Send(assignment.ControllerModule, *message)
}

// Server is the module without beehive: both servers and the streams between them.
type Server struct {
	tunnels *TunnelServer
	streams *StreamServer
	cfg     *v1alpha1.CloudDataStream
}

// NewServer makes the servers. report is called, from any goroutine, with what nodes say they run.
func NewServer(cfg *v1alpha1.CloudDataStream, report func(assignment.Report), opts ...Option) *Server {
	o := options{credentials: fileCredentials{cfg.Tunnel}}
	for _, apply := range opts {
		apply(&o)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := newMetrics(reg)
	streams := newStreamServer(cfg, m, reg)
	reg.MustRegister(newGOPCollector(streams))
	return &Server{cfg: cfg, streams: streams, tunnels: newTunnelServer(cfg.Tunnel, o.credentials, streams, report, m)}
}

// Apply makes the streams of one node what its directory says.
func (s *Server) Apply(d assignment.NodeDirectory) { s.streams.apply(d) }

// Synced tells that every node's directory has been applied once: what is not there now does not exist.
func (s *Server) Synced() { s.streams.setSynced() }

// ListenAndServe opens both ports and serves until ctx ends.
func (s *Server) ListenAndServe(ctx context.Context) error {
	var lc net.ListenConfig
	tunnels, err := lc.Listen(ctx, "tcp", s.cfg.Tunnel.Listen)
	if err != nil {
		return fmt.Errorf("listening for edges: %w", err)
	}
	viewers, err := lc.Listen(ctx, "tcp", s.cfg.Stream.Listen)
	if err != nil {
		tunnels.Close()
		return fmt.Errorf("listening for viewers: %w", err)
	}
	return s.Serve(ctx, tunnels, viewers)
}

// Serve serves edges and viewers on these listeners until ctx ends. One that fails ends the other.
func (s *Server) Serve(ctx context.Context, tunnels, viewers net.Listener) error {
	if s.cfg.Stream.Authentication == v1alpha1.AuthenticationNone {
		klog.InfoS("WARNING: viewers are not authenticated; whoever reaches the port can watch and control every stream", "listen", viewers.Addr().String())
	}
	klog.InfoS("CloudDataStream serves", "tunnels", tunnels.Addr().String(), "viewers", viewers.Addr().String())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	errs := make(chan error, 2)
	all.Go(func() {
		defer cancel()
		errs <- wrap("serving edges", s.tunnels.Serve(ctx, tunnels))
	})
	all.Go(func() {
		defer cancel()
		errs <- wrap("serving viewers", s.streams.Serve(ctx, viewers))
	})
	all.Go(func() { s.streams.tick(ctx) })
	all.Wait()
	return errors.Join(<-errs, <-errs)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
