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
	"time"

	"github.com/kubeedge/beehive/pkg/core"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/beehive/pkg/core/model"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/config"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/instrument"
	"github.com/kubeedge/datastream/pkg/tracing"
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
	reviewer    viewerauth.Reviewer
	outputs     output.Registry
	gatherers   []prometheus.Gatherer
}

// WithCredentials replaces the PEM files of the configuration.
func WithCredentials(c Credentials) Option { return func(o *options) { o.credentials = c } }

// WithOutput adds a way to read streams, or replaces the one of that name: for whoever records, decodes or forwards them.
func WithOutput(name string, f output.Factory) Option {
	return func(o *options) { o.outputs[name] = f }
}

// WithReviewer gives the API server that knows viewers and their rights. Without it only authentication none works.
func WithReviewer(r viewerauth.Reviewer) Option { return func(o *options) { o.reviewer = r } }

// WithMetrics adds what g gathers to GET /metrics. None of it may have the names that are there already.
func WithMetrics(g prometheus.Gatherer) Option {
	return func(o *options) { o.gatherers = append(o.gatherers, g) }
}

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
	for ctx.Err() == nil {
		if err := srv.ListenAndServe(ctx); err != nil {
			klog.ErrorS(err, "CloudDataStream cannot serve, it is tried again", "after", serveAgain)
			pause(ctx, serveAgain)
		}
	}
	receiver.Wait()
}

// serveAgain is how long the module waits when it could not serve: a port may be held by a process that is just ending.
const serveAgain = 2 * time.Second

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
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
		case assignment.Waiting:
			srv.Waiting(content.For)
		case assignment.Synced:
			srv.Synced()
			reporter.reportAll() // the controller may have just started
		default:
			klog.InfoS("Message is ignored", "source", m.GetSource(), "operation", m.GetOperation())
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
	o := options{credentials: newFileCredentials(cfg.Tunnel), outputs: outputs()}
	for _, apply := range opts {
		apply(&o)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), instrument.NewBuildInfo())
	m := newMetrics(reg)
	streams := newStreamServer(cfg, m, reg)
	streams.registry = o.outputs
	if o.reviewer != nil {
		streams.reviewer = countingReviewer{o.reviewer, m.reviews}
	}
	m.known(o.outputs.Names())
	streams.gatherer = metricsHandler(append(prometheus.Gatherers{reg}, o.gatherers...))
	s := &Server{cfg: cfg, streams: streams, tunnels: newTunnelServer(cfg, o.credentials, streams, report, m)}
	reg.MustRegister(newStreamCollector(streams, cfg.Metrics.Streams), instrument.NewCertificates("cloud", s.certificates))
	return s
}

// Apply makes the streams of one node what its directory says, and cuts the node off if it is not to be let in.
func (s *Server) Apply(d assignment.NodeDirectory) {
	if len(d.Entries) == 0 {
		d.Refused = "" // there is nothing that it could serve: nodes that come and go for years need not be remembered
	}
	s.tunnels.gate.refuse(d.Node, d.Refused) // before it could serve anything
	s.streams.apply(d)
}

// Synced tells that every node's directory has been applied once: what is not there now does not exist.
func (s *Server) Synced() { s.streams.setSynced() }

// Waiting tells, in one line that everybody may read, why Synced has not been called yet.
func (s *Server) Waiting(what string) { s.streams.setWaiting(what) }

// Routes returns the method and path of everything that viewers may ask for, as "GET /streams". POST …/ticket is not among them: the
// guard in front of the routes answers it.
func (s *Server) Routes() []string {
	var routes []string
	for _, ws := range s.streams.container().RegisteredWebServices() {
		for _, r := range ws.Routes() {
			routes = append(routes, r.Method+" "+r.Path)
		}
	}
	return routes
}

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
	switch {
	case s.cfg.Stream.Authentication == v1alpha1.AuthenticationNone:
		klog.InfoS("WARNING: viewers are not authenticated; whoever reaches the port can watch and control every stream", "listen", viewers.Addr().String())
	case s.cfg.Stream.CertFile == "" && !v1alpha1.IsLoopback(s.cfg.Stream.Listen):
		klog.InfoS("WARNING: viewers' tokens are not encrypted; set tlsStreamCertFile, or see that only a proxy with TLS reaches the port",
			"listen", viewers.Addr().String())
	}
	tracer, err := tracing.New(ctx, s.cfg.Tracing, assignment.CloudModule)
	if err != nil {
		klog.ErrorS(err, "Traces are not sent")
	}
	defer tracer.Close()
	s.streams.tracer = tracer
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
