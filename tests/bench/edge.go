// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/harness"
)

// edge sends the stream over a real tunnel, whatever the cloud desires.
type edge struct {
	url    string
	dialer websocket.Dialer
}

func newEdge(ca *harness.Authority, address string) (*edge, error) {
	certFile, keyFile, err := ca.Node(key.Node)
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(ca.CAFile())
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &edge{
		url: "wss://" + address + key.URLPath(),
		dialer: websocket.Dialer{
			TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
			Subprotocols:    []string{tunnel.Subprotocol},
			WriteBufferSize: tunnel.WriteBufferSize,
		},
	}, nil
}

func (e *edge) run(ctx context.Context) error {
	ws, resp, err := e.dialer.DialContext(ctx, e.url, nil)
	if err != nil {
		return fmt.Errorf("dialling the tunnel: %w", err)
	}
	resp.Body.Close()
	conn := tunnel.NewConn(ws, tunnel.DefaultTiming, tunnel.DefaultMaxPayload)
	ctx, cancel := context.WithCancel(ctx)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer conn.Close(tunnel.CloseNormal, "")
	defer cancel()
	reader.Go(func() { _ = conn.KeepAlive(ctx) })
	reader.Go(func() {
		defer cancel()
		for {
			if _, _, err := conn.Read(); err != nil {
				return
			}
		}
	})
	for _, m := range []tunnel.Message{
		&tunnel.Hello{Node: key.Node, Epoch: 1},
		&tunnel.Tracks{Tracks: []media.Track{track()}},
		&tunnel.State{State: tunnel.Streaming},
	} {
		if err := conn.WriteMessage(m); err != nil {
			return err
		}
	}
	payloads := gop()
	ticker := time.NewTicker(time.Second / frameRate)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-ticker.C:
			u := &media.AccessUnit{
				Track: 1, Sequence: uint64(i + 1), PTS: int64(i) * clockRate / frameRate, Capture: now,
				RandomAccess: i%gopFrames == 0, Discontinuity: i == 0, Payload: payloads[i%gopFrames],
			}
			if err := conn.WriteUnit(u); err != nil {
				return err
			}
		}
	}
}
