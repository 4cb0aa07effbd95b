// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/pki"
)

// node has every stream of the tests.
const node = "edge-1"

// sendStream brings a stream to the cloud over a tunnel until ctx ends. Nobody decodes its pictures.
func sendStream(ctx context.Context, ca *pki.Authority, address string, key tunnel.StreamKey) error {
	pair, err := ca.Issue(pki.Node(node))
	if err != nil {
		return err
	}
	certificate, err := tls.X509KeyPair(pair.PEM())
	if err != nil {
		return err
	}
	dialer := websocket.Dialer{
		TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		Subprotocols:    []string{tunnel.Subprotocol},
	}
	ws, resp, err := dialer.DialContext(ctx, "wss://"+address+key.URLPath(), nil)
	if err != nil {
		return fmt.Errorf("dialling the tunnel: %w", err)
	}
	resp.Body.Close()
	conn := tunnel.NewConn(ws, tunnel.DefaultTiming, tunnel.DefaultMaxPayload)
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer conn.Close(tunnel.CloseNormal, "")
	defer cancel()
	helpers.Go(func() { _ = conn.KeepAlive(ctx) })
	helpers.Go(func() {
		defer cancel()
		for {
			if _, _, err := conn.Read(); err != nil {
				return
			}
		}
	})
	track := media.Track{
		ID: 1, Kind: media.Video, Codec: media.H264, ClockRate: 90000,
		SPS: []byte{
			0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00,
			0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
		},
		PPS: []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0},
	}
	for _, m := range []tunnel.Message{
		&tunnel.Hello{Node: node, Epoch: 1}, &tunnel.Tracks{Tracks: []media.Track{track}}, &tunnel.State{State: tunnel.Streaming},
	} {
		if err := conn.WriteMessage(m); err != nil {
			return err
		}
	}
	const frameRate = 25
	ticker := time.NewTicker(time.Second / frameRate)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-ticker.C:
			nalu := make([]byte, 100)
			nalu[0] = 0x65 // every picture is an IDR
			u := &media.AccessUnit{
				Track: 1, Sequence: uint64(i + 1), PTS: int64(i) * 90000 / frameRate, Capture: now,
				RandomAccess: true, Discontinuity: i == 0, Payload: media.JoinNALUs([][]byte{nalu}),
			}
			if err := conn.WriteUnit(u); err != nil {
				return err
			}
		}
	}
}
