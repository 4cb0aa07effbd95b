// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"

	"github.com/kubeedge/api/apis/componentconfig/cloudcore/v1alpha1"
	"github.com/kubeedge/beehive/pkg/core"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubeedge/datastream/build/kubeedge/internal/section"
	"github.com/kubeedge/datastream/cloud/pkg/certificates"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream"
	"github.com/kubeedge/datastream/cloud/pkg/streamrulecontroller"
	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	datastream "github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
)

// Our sections of cloudcore.yaml.
const (
	cloudDataStream      = "cloudDataStream"
	streamRuleController = "streamRuleController"
)

// config is our part of cloudcore.yaml.
type config struct {
	stream     *datastream.CloudDataStream
	controller *datastream.StreamRuleController
}

// read decodes and validates our sections. The stock part gives the defaults: CloudHub's files.
func read(d section.Document, hub *v1alpha1.CloudHub) (config, field.ErrorList) {
	c := config{datastream.NewDefaultCloudDataStream(), datastream.NewDefaultStreamRuleController()}
	c.stream.Tunnel.CAFile = hub.TLSCAFile
	c.stream.Tunnel.CertFile = hub.TLSCertFile
	c.stream.Tunnel.KeyFile = hub.TLSPrivateKeyFile
	_, errs := d.Decode(cloudDataStream, c.stream)
	_, more := d.Decode(streamRuleController, c.controller)
	if errs = append(errs, more...); len(errs) > 0 {
		return c, errs // what would be validated is not what was written
	}
	return c, append(c.stream.Validate(section.Path(cloudDataStream)), c.controller.Validate(section.Path(streamRuleController))...)
}

// register adds the modules that the configuration enables. Without our sections it does nothing.
func register(file string, d section.Document) error {
	_, stream := d.Get(cloudDataStream)
	_, controller := d.Get(streamRuleController)
	if !stream && !controller {
		return nil
	}
	stock := v1alpha1.NewDefaultCloudCoreConfig()
	if err := stock.Parse(file); err != nil {
		return nil //nolint:nilerr // the stock command says so in its own words
	}
	c, errs := read(d, stock.Modules.CloudHub)
	if err := section.Error(file, errs); err != nil {
		return err
	}
	if !c.stream.Enable && !c.controller.Enable {
		return nil
	}
	api, err := apiServer(stock.KubeAPIConfig)
	if err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(api)
	if err != nil {
		return fmt.Errorf("making a client for secrets and events: %w", err)
	}
	// The controller's metrics are at CloudDataStream's /metrics, or without it at cloudcore's monitor server.
	metrics, registerer := prometheus.NewRegistry(), prometheus.DefaultRegisterer
	if c.stream.Enable {
		registerer = metrics
		reviewer, err := newReviewer(api)
		if err != nil {
			return err
		}
		registerStream(c.stream, stock.Modules.CloudHub, kube, reviewer, metrics)
	}
	if c.controller.Enable {
		rules, err := versioned.NewForConfig(api)
		if err != nil {
			return fmt.Errorf("making a client for rules: %w", err)
		}
		nodes, err := metadata.NewForConfig(api)
		if err != nil {
			return fmt.Errorf("making a client for nodes: %w", err)
		}
		streamrulecontroller.Register(c.controller, rules,
			streamrulecontroller.WithEvents(kube.CoreV1()), streamrulecontroller.WithSecrets(kube.CoreV1()),
			streamrulecontroller.WithNodes(nodes), streamrulecontroller.WithMetrics(registerer))
	}
	return nil
}

// apiServer is how cloudcore reaches the API server, in JSON since our resources know no other encoding.
func apiServer(c *v1alpha1.KubeAPIConfig) (*rest.Config, error) {
	api, err := clientcmd.BuildConfigFromFlags(c.Master, c.KubeConfig)
	if err != nil {
		return nil, fmt.Errorf("finding the API server (kubeAPIConfig): %w", err)
	}
	api.QPS, api.Burst = float32(c.QPS), int(c.Burst)
	api.ContentType = runtime.ContentTypeJSON
	return rest.AddUserAgent(api, "datastream"), nil
}

// What viewers, and whoever tries to be one, may ask of the API server in a second. Most of it is remembered.
const (
	reviewQPS   = 100
	reviewBurst = 200
)

// newReviewer makes the one who knows viewers. Its client is its own, so that viewers never slow down the rest of cloudcore.
func newReviewer(api *rest.Config) (viewerauth.Reviewer, error) {
	api = rest.CopyConfig(api)
	api.QPS, api.Burst = reviewQPS, reviewBurst
	client, err := kubernetes.NewForConfig(api)
	if err != nil {
		return nil, fmt.Errorf("making a client for reviews of viewers: %w", err)
	}
	return viewerauth.NewAPIServer(client), nil
}

func registerStream(c *datastream.CloudDataStream, hub *v1alpha1.CloudHub, kube kubernetes.Interface, reviewer viewerauth.Reviewer, metrics prometheus.Gatherer) {
	store := certificates.New(files(c, hub), kube)
	core.Register(&module{clouddatastream.New(c,
		clouddatastream.WithCredentials(store), clouddatastream.WithReviewer(reviewer), clouddatastream.WithMetrics(metrics)), store})
}

// files are those of the tunnels. A CA that was written into our section is not CloudHub's, whose Secret then must not stand in for it.
func files(c *datastream.CloudDataStream, hub *v1alpha1.CloudHub) certificates.Files {
	t := c.Tunnel
	return certificates.Files{CA: t.CAFile, Cert: t.CertFile, Key: t.KeyFile, OwnCA: t.CAFile != hub.TLSCAFile}
}

// module is CloudDataStream with CloudHub's certificates.
type module struct {
	*clouddatastream.CloudDataStream
	certificates *certificates.Store
}

// Start runs both until beehive's context ends.
func (m *module) Start() {
	var store sync.WaitGroup
	store.Go(func() { m.certificates.Run(beehiveContext.GetContext()) })
	m.CloudDataStream.Start()
	store.Wait()
}
