// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package harness runs the real modules of cloud and edge in one process: beehive, RTSP, WebSockets and TLS are real. Two things stand
// in for what needs a cluster: Relay for CloudHub and EdgeHub, client-go's in-memory object tracker for kube-apiserver.
// The demo and the integration tests run on it.
package harness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kubeedge/beehive/pkg/core"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/beehive/pkg/core/model"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	kubefake "k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream"
	"github.com/kubeedge/datastream/cloud/pkg/streamrulecontroller"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned/fake"
	"github.com/kubeedge/datastream/tests/ports"
)

// Options are what differs between a demo and a test.
type Options struct {
	// Node is the name of the edge node.
	Node string
	// Dir is an existing folder for certificates and the edge's store.
	Dir string
	// ListenViewers is the address for viewers; port 0 takes a free one.
	ListenViewers string
	// Client and Kube, both or neither, are of a real kube-apiserver, in place of the trackers that stand in for one.
	Client versioned.Interface
	Kube   kubernetes.Interface
	// Cloud are options of CloudDataStream.
	Cloud []clouddatastream.Option
	// Tune may change the modules' configurations before they start.
	Tune func(*v1alpha1.CloudDataStream, *v1alpha1.EdgeDataStream)
	// Relayed, if set, is called with the content of each message that reaches the node.
	Relayed func(content []byte)
}

// Cluster is one cloud and one edge node.
type Cluster struct {
	// Client stands in for kube-apiserver: client-go's in-memory object tracker.
	Client versioned.Interface
	// Kube stands in for the same in what is Kubernetes' own: Secrets and Events.
	Kube kubernetes.Interface
	// Relay stands in for CloudHub and EdgeHub.
	Relay *Relay
	// Proxy is on the way from edge to TunnelServer.
	Proxy *Proxy
	// CA has signed the cloud's and the node's certificates.
	CA *Authority
	// Viewers is the address for viewers; Tunnels that of the TunnelServer, behind the proxy.
	Viewers, Tunnels string
	// EdgeMetrics is the address of the node's GET /metrics.
	EdgeMetrics string

	watched <-chan struct{}
	modules []*joined
}

// joined is a module whose Start somebody waits for, which beehive itself does not.
type joined struct {
	core.Module
	done chan struct{}
}

func (j *joined) Start() {
	defer close(j.done)
	j.Module.Start()
}

// Start runs a cluster. Beehive's context is one for the process and ends only once, so a process has
// one cluster in its life.
func Start(o Options) (*Cluster, error) {
	c := &Cluster{Client: o.Client, Kube: o.Kube, Relay: &Relay{node: o.Node, relayed: o.Relayed}}
	if c.Client == nil {
		c.Client, c.watched = newTracker()
		c.Kube = newKube()
	}
	cloud, edge, err := c.configure(o)
	if err != nil {
		return nil, err
	}
	if o.Tune != nil {
		o.Tune(cloud, edge)
	}
	if err := errors.Join(
		cloud.Validate(field.NewPath("modules", "cloudDataStream")).ToAggregate(),
		edge.Validate(field.NewPath("modules", "edgeDataStream")).ToAggregate(),
	); err != nil {
		c.Proxy.Close()
		return nil, err
	}
	controller := v1alpha1.NewDefaultStreamRuleController()
	controller.Enable = true
	metrics := prometheus.NewRegistry()
	for _, m := range []core.Module{
		c.Relay,
		streamrulecontroller.New(controller, c.Client,
			streamrulecontroller.WithEvents(c.Kube.CoreV1()), streamrulecontroller.WithSecrets(c.Kube.CoreV1()),
			streamrulecontroller.WithMetrics(metrics)),
		clouddatastream.New(cloud, append(o.Cloud, clouddatastream.WithMetrics(metrics))...),
		edgedatastream.New(edge),
	} {
		j := &joined{m, make(chan struct{})}
		c.modules = append(c.modules, j)
		core.Register(j)
	}
	core.StartModules()
	return c, nil
}

// newTracker makes the stand-in for kube-apiserver, and a channel that is closed once rules and endpoints are watched. What
// is created between an informer's list and its watch is lost here, other than in an API server.
func newTracker() (*fake.Clientset, <-chan struct{}) {
	client := fake.NewSimpleClientset()
	watched := make(chan struct{})
	var mu sync.Mutex
	missing := map[string]bool{"streamrules": true, "streamruleendpoints": true}
	client.PrependWatchReactor("*", func(action kubetesting.Action) (bool, watch.Interface, error) {
		w, err := client.Tracker().Watch(action.GetResource(), action.GetNamespace())
		mu.Lock()
		defer mu.Unlock()
		if missing[action.GetResource().Resource] {
			delete(missing, action.GetResource().Resource)
			if len(missing) == 0 {
				close(watched)
			}
		}
		return true, w, err
	})
	return client, watched
}

// newKube makes the stand-in for Secrets and Events. A watch begins with what is there, so that nothing is lost between list and watch.
func newKube() kubernetes.Interface {
	client := kubefake.NewSimpleClientset()
	client.PrependWatchReactor("secrets", func(action kubetesting.Action) (bool, watch.Interface, error) {
		w, err := client.Tracker().Watch(action.GetResource(), action.GetNamespace())
		if err != nil {
			return true, nil, err
		}
		name, _ := action.(kubetesting.WatchAction).GetWatchRestrictions().Fields.RequiresExactMatch(metav1.ObjectNameField)
		if obj, err := client.Tracker().Get(action.GetResource(), action.GetNamespace(), name); err == nil {
			w.(*watch.RaceFreeFakeWatcher).Modify(obj)
		}
		return true, w, nil
	})
	return client
}

func (c *Cluster) configure(o Options) (*v1alpha1.CloudDataStream, *v1alpha1.EdgeDataStream, error) {
	var err error
	if c.CA, err = NewAuthority(o.Dir); err != nil {
		return nil, nil, err
	}
	cloud, edge := v1alpha1.NewDefaultCloudDataStream(), v1alpha1.NewDefaultEdgeDataStream()
	cloud.Enable, edge.Enable = true, true
	cloud.Tunnel.CAFile, edge.CAFile = c.CA.CAFile(), c.CA.CAFile()
	if cloud.Tunnel.CertFile, cloud.Tunnel.KeyFile, err = c.CA.Server(); err != nil {
		return nil, nil, err
	}
	if edge.CertFile, edge.KeyFile, err = c.CA.Node(o.Node); err != nil {
		return nil, nil, err
	}
	if cloud.Stream.Listen, err = ports.Free(o.ListenViewers); err != nil {
		return nil, nil, fmt.Errorf("listening for viewers: %w", err)
	}
	if cloud.Tunnel.Listen, err = ports.Free("127.0.0.1:0"); err != nil {
		return nil, nil, err
	}
	cloud.Stream.Authentication = v1alpha1.AuthenticationNone
	c.Viewers, c.Tunnels = cloud.Stream.Listen, cloud.Tunnel.Listen
	if c.Proxy, err = NewProxy(c.Tunnels); err != nil {
		return nil, nil, err
	}
	if edge.Metrics.Listen, err = ports.Free("127.0.0.1:0"); err != nil {
		return nil, nil, err
	}
	c.EdgeMetrics = edge.Metrics.Listen
	edge.NodeName, edge.Server = o.Node, "wss://"+c.Proxy.Address()
	edge.StoreFile = filepath.Join(o.Dir, "assignment.json")
	return cloud, edge, nil
}

// WaitReady returns when the cloud knows its rules and hears of new ones.
func (c *Cluster) WaitReady(ctx context.Context) error {
	if c.watched != nil { // with a real API server nothing is lost
		select {
		case <-c.watched:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the controller: %w", ctx.Err())
		}
	}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Viewers+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select { // nothing tells us that a port is open: ask again
		case <-ctx.Done():
			return fmt.Errorf("waiting for the cloud: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop ends the modules and waits until each has ended. Other than in beehive's own shutdown, no channel is closed before:
// whoever still sends would race with that.
func (c *Cluster) Stop() {
	beehiveContext.Cancel()
	for _, m := range c.modules {
		beehiveContext.Send(m.Name(), model.Message{}) // Receive knows no context
	}
	for _, m := range c.modules {
		<-m.done
	}
	for _, m := range c.modules {
		beehiveContext.Cleanup(m.Name())
	}
	c.Proxy.Close()
	http.DefaultClient.CloseIdleConnections()
}

// Duration is a config duration.
func Duration(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

// TempDir makes a folder that remove deletes.
func TempDir() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "datastream")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}
