// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/time/rate"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tracing"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Agent runs a node's assignment: a channel for each target.
type Agent struct {
	config   *v1alpha1.EdgeDataStream
	sources  source.Registry
	dialers  map[string]dialer // by a target's protocol
	metrics  *Metrics
	store    store
	reporter *reporter
	tracer   *tracing.Tracer // while it runs
	epoch    atomic.Uint64

	mutex   sync.Mutex
	pending *assignment.Assignment // the newest one that does not run yet
	arrived signal
	back    signal // the cloud can be reached again

	revision atomic.Pointer[string]
	channels map[tunnel.StreamKey]*runningChannel // only Run's goroutine uses it
}

type runningChannel struct {
	*channel
	protocol string
	cancel   context.CancelCauseFunc
	done     chan struct{}
}

// Option changes what an Agent is made of.
type Option func(*options)

type options struct {
	netDial NetDial
}

// WithNetDial replaces how connections to the cloud are made, for hosts whose way out is special.
func WithNetDial(dial NetDial) Option { return func(o *options) { o.netDial = dial } }

// NewAgent makes an agent. cfg is valid and does not change any more.
func NewAgent(cfg *v1alpha1.EdgeDataStream, sources source.Registry, m *Metrics, opts ...Option) *Agent {
	o := options{netDial: new(net.Dialer).DialContext}
	for _, apply := range opts {
		apply(&o)
	}
	a := &Agent{
		config: cfg, sources: sources, metrics: m,
		store: store{cfg.StoreFile}, arrived: newSignal(), back: newSignal(),
		channels: make(map[tunnel.StreamKey]*runningChannel),
	}
	a.revision.Store(new(string))
	unsent := unsentBytes
	if !cfg.Congestion.Enable {
		unsent = 0
	}
	connect := tunnelDial(o.netDial, unsent)
	credentials := func() (*tls.Config, error) { return tlsConfig(cfg) }
	a.dialers = map[string]dialer{
		"websocket": &webSocketDialer{
			server: cfg.Server, tls: credentials, timing: tunnel.DefaultTiming,
			connect: connect, pace: rate.NewLimiter(dialsPerSecond, dialBurst),
		},
	}
	a.reporter = &reporter{config: cfg, connect: connect, tls: credentials, revision: a.Revision, again: newSignal()}
	return a
}

// Revision is that of the assignment that runs, empty if there is none.
func (a *Agent) Revision() string { return *a.revision.Load() }

// Apply makes as the node's whole desired state. It returns at once; of several in a row the last one counts.
// An assignment that is malformed or another node's is refused, and what runs goes on.
func (a *Agent) Apply(as assignment.Assignment) error {
	if err := as.Validate(); err != nil {
		return fmt.Errorf("applying assignment: %w", err)
	}
	if as.Node != a.config.NodeName {
		return fmt.Errorf("applying assignment: it is node %q's, this is %q", as.Node, a.config.NodeName)
	}
	a.mutex.Lock()
	a.pending = &as
	a.mutex.Unlock()
	a.arrived.set()
	return nil
}

// Report tells the cloud again which revision runs.
func (a *Agent) Report() { a.reporter.again.set() }

// Reconnected tells that the cloud can be reached again after a while: tunnels are dialled now, whatever they wait for.
func (a *Agent) Reconnected() {
	a.Report()
	a.back.set()
}

// Run runs the stored assignment and then those that are applied. It returns nil once ctx has ended and with
// it everything that Run started.
func (a *Agent) Run(ctx context.Context) error {
	tracer, err := tracing.New(ctx, a.config.Tracing, assignment.EdgeModule, attribute.String("k8s.node.name", a.config.NodeName))
	if err != nil {
		klog.ErrorS(err, "Traces are not sent")
	}
	defer tracer.Close()
	a.tracer = tracer
	stored, err := a.store.load()
	if err == nil && stored != nil && stored.Node != a.config.NodeName {
		err = fmt.Errorf("it is node %q's", stored.Node)
	}
	switch {
	case err != nil:
		klog.ErrorS(err, "Stored assignment is ignored", "file", a.config.StoreFile)
	case stored != nil:
		a.run(ctx, stored)
	}

	var wg sync.WaitGroup
	wg.Go(func() { a.reporter.run(ctx) })
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-a.arrived:
			a.mutex.Lock()
			as := a.pending
			a.mutex.Unlock()
			if err := a.store.save(*as); err != nil {
				klog.ErrorS(err, "Assignment runs but is not stored")
			}
			a.run(ctx, as)
			a.Report()
		case <-a.back:
			for _, c := range a.channels {
				c.hurry.set()
			}
		}
	}
	wg.Wait()
	for _, c := range a.channels {
		<-c.done
	}
	return nil
}

// run makes the channels those of as.
func (a *Agent) run(ctx context.Context, as *assignment.Assignment) {
	targets := make(map[tunnel.StreamKey]assignment.Target, len(as.Targets))
	for _, t := range as.Targets {
		key := t.Key(as.Node)
		if a.dialers[t.Protocol] == nil {
			klog.InfoS("Target is left out, its protocol is unknown", "stream", key, "protocol", t.Protocol)
			continue
		}
		targets[key] = t
	}
	level := klog.Level(0)
	if running := a.revision.Swap(&as.Revision); running != nil && *running == as.Revision {
		level = 2 // the cloud has sent it again, since it has not heard that it runs
	}
	a.stopOthers(targets)
	for key, t := range targets {
		if c := a.channels[key]; c != nil {
			if !reflect.DeepEqual(c.current(), t) {
				c.apply(t)
			}
			continue
		}
		a.start(ctx, key, t)
	}
	klog.V(level).InfoS("Assignment runs", "revision", as.Revision, "targets", len(targets))
}

// stopOthers ends the channels of targets that are gone or go by another protocol, and waits for them.
func (a *Agent) stopOthers(targets map[tunnel.StreamKey]assignment.Target) {
	var ending []*runningChannel
	for key, c := range a.channels {
		if t, ok := targets[key]; ok && t.Protocol == c.protocol {
			continue
		}
		c.cancel(errTargetGone)
		ending = append(ending, c)
		delete(a.channels, key)
	}
	for _, c := range ending {
		<-c.done
	}
}

func (a *Agent) start(ctx context.Context, key tunnel.StreamKey, t assignment.Target) {
	ctx = klog.NewContext(ctx, klog.LoggerWithValues(klog.FromContext(ctx), "stream", key))
	ctx, cancel := context.WithCancelCause(ctx)
	c := &runningChannel{protocol: t.Protocol, cancel: cancel, done: make(chan struct{}), channel: &channel{
		stream: newStream(key, t, a.config, a.sources, a.metrics),
		dialer: a.dialers[t.Protocol], hello: a.hello, redial: newSignal(), hurry: newSignal(),
	}}
	c.tracer = a.tracer
	a.channels[key] = c
	go func() {
		defer close(c.done)
		defer cancel(nil)
		c.run(ctx)
	}()
}

func (a *Agent) hello(ruleUID string) *tunnel.Hello {
	return &tunnel.Hello{Node: a.config.NodeName, RuleUID: ruleUID, Revision: a.Revision(), Epoch: a.nextEpoch()}
}

// nextEpoch grows with each call, and over restarts too as long as the clock does.
func (a *Agent) nextEpoch() uint64 {
	for {
		last := a.epoch.Load()
		next := max(last+1, uint64(time.Now().UnixNano()))
		if a.epoch.CompareAndSwap(last, next) {
			return next
		}
	}
}
