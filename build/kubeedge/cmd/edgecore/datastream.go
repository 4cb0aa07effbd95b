// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"path/filepath"
	"sync"

	"github.com/kubeedge/api/apis/componentconfig/edgecore/v1alpha2"
	"github.com/kubeedge/beehive/pkg/core"
	beehiveContext "github.com/kubeedge/beehive/pkg/core/context"
	"github.com/kubeedge/kubeedge/edge/pkg/edgehub/common/msghandler"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/build/kubeedge/internal/section"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream"
	datastream "github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

const (
	// edgeDataStream is our section of edgecore.yaml.
	edgeDataStream = "edgeDataStream"
	// tunnelPort is the TunnelServer's by default.
	tunnelPort = "10006"
)

// defaults takes over what the stock part of edgecore.yaml knows already.
func defaults(stock *v1alpha2.EdgeCoreConfig) *datastream.EdgeDataStream {
	c, hub := datastream.NewDefaultEdgeDataStream(), stock.Modules.EdgeHub
	c.NodeName = stock.Modules.Edged.HostnameOverride
	c.CAFile, c.CertFile, c.KeyFile = hub.TLSCAFile, hub.TLSCertFile, hub.TLSPrivateKeyFile
	c.StoreFile = filepath.Join(filepath.Dir(stock.DataBase.DataSource), "datastream", "assignment.json")
	server := hub.WebSocket.Server
	if hub.Quic != nil && hub.Quic.Enable {
		server = hub.Quic.Server
	}
	if host, _, err := net.SplitHostPort(server); err == nil {
		c.Server = "wss://" + net.JoinHostPort(host, tunnelPort)
	}
	return c
}

// read decodes and validates our section.
func read(d section.Document, stock *v1alpha2.EdgeCoreConfig) (*datastream.EdgeDataStream, field.ErrorList) {
	c := defaults(stock)
	if _, errs := d.Decode(edgeDataStream, c); len(errs) > 0 {
		return c, errs // what would be validated is not what was written
	}
	return c, c.Validate(section.Path(edgeDataStream))
}

// register adds the module if the configuration enables it. Without our section it does nothing.
func register(file string, d section.Document) error {
	k := newKeeper(file)
	if err := k.start(d); err != nil {
		return err
	}
	if _, ok := d.Get(edgeDataStream); !ok {
		return nil
	}
	stock := v1alpha2.NewDefaultEdgeCoreConfig()
	if err := stock.Parse(file); err != nil {
		return nil //nolint:nilerr // the stock command says so in its own words
	}
	c, errs := read(d, stock)
	if err := section.Error(file, errs); err != nil {
		return err
	}
	if !c.Enable {
		return nil
	}
	hub := newEdgeHub()
	msghandler.Handlers = append([]msghandler.Handler{hub}, msghandler.Handlers...)
	core.Register(hub)
	core.Register(&module{edgedatastream.New(c), k})
	return nil
}

// module is EdgeDataStream, whose section stays in edgecore.yaml.
type module struct {
	*edgedatastream.EdgeDataStream
	keeper *keeper
}

// Start runs both until beehive's context ends.
func (m *module) Start() {
	var keeper sync.WaitGroup
	keeper.Go(func() {
		if err := m.keeper.run(beehiveContext.GetContext()); err != nil {
			klog.ErrorS(err, "Section is put back at the next start only", "section", section.Path(edgeDataStream).String())
		}
	})
	m.EdgeDataStream.Start()
	keeper.Wait()
}
