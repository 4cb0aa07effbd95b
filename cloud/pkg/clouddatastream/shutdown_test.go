// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/tests/harness"
)

// A server that ends lets go of viewers who wait for a stream, and does not wait for them to do anything.
func TestShutdownWithViewers(t *testing.T) {
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Stream.Authentication = v1alpha1.AuthenticationNone
	ca, err := harness.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Tunnel.CAFile = ca.CAFile()
	if cfg.Tunnel.CertFile, cfg.Tunnel.KeyFile, err = ca.Server(); err != nil {
		t.Fatal(err)
	}
	tunnels, viewers := listen(t), listen(t)
	srv := clouddatastream.NewServer(cfg, func(assignment.Report) {})
	srv.Apply(assignment.NodeDirectory{Node: "edge-1", Entries: []assignment.Entry{{Namespace: "default", Rule: "r", Path: "/p"}}})
	srv.Synced()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, tunnels, viewers) }()

	ws, _, err := websocket.DefaultDialer.Dial("ws://"+viewers.Addr().String()+"/node/edge-1/r/p", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if _, _, err := ws.ReadMessage(); err != nil { // it is a viewer now
		t.Fatal(err)
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the server waits for its viewers")
	}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
