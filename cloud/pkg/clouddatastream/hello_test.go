// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// takenOver is the answer to a request on a connection that is taken over.
type takenOver struct {
	net.Conn
	r *bufio.Reader
}

func (takenOver) Header() http.Header { return http.Header{} }
func (takenOver) WriteHeader(int)     {}
func (h takenOver) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return tunnel.Watch(h.Conn), bufio.NewReadWriter(h.r, bufio.NewWriter(h.Conn)), nil
}

// A connection that says no hello is closed in time, whether it says something else or nothing.
func TestNoHello(t *testing.T) {
	for name, pings := range map[string]bool{"silent": false, "pings": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				edge, cloud := net.Pipe()
				server := &TunnelServer{timing: tunnel.DefaultTiming, metrics: newMetrics(prometheus.NewRegistry())}
				ended := make(chan time.Time, 1)
				go func() {
					r := bufio.NewReader(cloud)
					req, err := http.ReadRequest(r)
					if err != nil {
						t.Error(err)
						return
					}
					ws, err := server.upgrader.Upgrade(takenOver{cloud, r}, req, nil)
					if err != nil {
						t.Error(err)
						return
					}
					server.serveTunnel(t.Context(), tunnel.NewConn(ws, server.timing, tunnel.DefaultMaxPayload), &VideoSession{}, "")
					ended <- time.Now()
				}()
				d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return edge, nil }}
				ws, resp, err := d.Dial("ws://cloud/", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				began := time.Now()
				var wg sync.WaitGroup
				wg.Go(func() { _, _, err = ws.ReadMessage() })
				for pings && ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Minute)) == nil {
					time.Sleep(time.Second)
				}
				if took := (<-ended).Sub(began); took > 15*time.Second {
					t.Errorf("ended after %v", took)
				}
				wg.Wait()
				if pings && !websocket.IsCloseError(err, tunnel.CloseMalformed) {
					t.Errorf("it was told %v", err)
				}
				ws.Close()
			})
		})
	}
}
