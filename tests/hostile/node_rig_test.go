// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/pki"
)

const (
	evilNode = "evil-9"
	evilRule = "evil"
)

// attacker is where attackers come from: another machine, as far as the cloud can tell.
var attacker = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}

// evil is a node that has a certificate and one target, and means harm.
type evil struct {
	*rig
	cert  tls.Certificate
	key   tunnel.StreamKey
	epoch atomic.Uint64
}

func newEvil(r *rig) *evil {
	r.assign(evilNode, evilRule)
	return &evil{rig: r, cert: r.issue(pki.Node(evilNode)), key: keyOf(evilNode, evilRule)}
}

func connect(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: attacker, Timeout: patience}
	return d.DialContext(ctx, "tcp", address)
}

// dialTunnel dials a tunnel from an address, which may be nil, with these certificates.
func (r *rig) dialTunnel(from net.Addr, key tunnel.StreamKey, certs ...tls.Certificate) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{
		NetDialContext:  (&net.Dialer{LocalAddr: from}).DialContext,
		TLSClientConfig: r.tlsConfig(certs...), Subprotocols: []string{tunnel.Subprotocol}, HandshakeTimeout: patience,
		WriteBufferSize: tunnel.WriteBufferSize,
	}
	return d.Dial("wss://"+r.tunnels+key.URLPath(), nil)
}

// tlsConfig shows these certificates, of which there may be none.
func (r *rig) tlsConfig(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{
		RootCAs: r.ca.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(certs) == 0 {
				return &tls.Certificate{}, nil
			}
			return &certs[0], nil // also where the server names other CAs
		},
	}
}

// dialAs dials a tunnel as an attacker with these certificates.
func (r *rig) dialAs(key tunnel.StreamKey, certs ...tls.Certificate) (*websocket.Conn, *http.Response, error) {
	return r.dialTunnel(attacker, key, certs...)
}

// raw is a TLS connection to the tunnels' port.
func (e *evil) raw(t *testing.T) *tls.Conn {
	t.Helper()
	c, err := connect(t.Context(), e.tunnels)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	conn := tls.Client(c, e.tlsConfig(e.cert))
	must(t, conn.HandshakeContext(t.Context()))
	return conn
}

// evilTunnel is a connection of evil's target.
type evilTunnel struct {
	*testing.T
	ws   *websocket.Conn
	conn *tunnel.Conn
}

// dial returns a tunnel that has said nothing yet.
func (e *evil) dial(t *testing.T) *evilTunnel {
	t.Helper()
	ws, _, err := e.dialAs(e.key, e.cert)
	must(t, err)
	t.Cleanup(func() { ws.Close() })
	return &evilTunnel{t, ws, tunnel.NewConn(ws, tunnel.DefaultTiming, 64<<20)}
}

// open returns a tunnel that has said hello as it should.
func (e *evil) open(t *testing.T) *evilTunnel {
	t.Helper()
	et := e.dial(t)
	must(t, et.conn.WriteMessage(e.hello()))
	return et
}

func (e *evil) hello() *tunnel.Hello {
	epoch := e.epoch.Add(1)
	return &tunnel.Hello{Node: evilNode, RuleUID: uidOf(evilRule), Revision: "1", Epoch: uint64(time.Now().UnixNano()) + epoch}
}

// wanted makes somebody watch evil's stream until the test ends, so that nothing is thrown away unseen. Nobody minds what it gets.
func (e *evil) wanted(t *testing.T, format string) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for ctx.Err() == nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.viewers+"/node/"+evilNode+"/"+evilRule+targetPath+"?format="+format, nil)
			if err != nil {
				return
			}
			if resp, err := client.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// closed waits until the cloud has closed the tunnel, and returns the code. It is CloseAbnormalClosure where the close frame was lost with
// what was still under way to the cloud.
func (t *evilTunnel) closed() int {
	t.Helper()
	must(t.T, t.ws.SetReadDeadline(time.Now().Add(patience)))
	for {
		_, _, err := t.ws.ReadMessage()
		var closed *websocket.CloseError
		var timeout net.Error
		switch {
		case err == nil:
		case errors.As(err, &closed):
			return closed.Code
		case errors.As(err, &timeout) && timeout.Timeout():
			t.Fatal("the cloud does not close the tunnel")
		default:
			return websocket.CloseAbnormalClosure
		}
	}
}

// frame writes a WebSocket frame (RFC 6455, 5.2), masked with zeros. first is the byte with FIN, RSV and the opcode.
func (t *evilTunnel) frame(first byte, payload []byte) error {
	head := []byte{first, 0x80}
	switch n := len(payload); {
	case n < 126:
		head[1] |= byte(n)
	case n <= 0xffff:
		head[1] |= 126
		head = binary.BigEndian.AppendUint16(head, uint16(n))
	default:
		head[1] |= 127
		head = binary.BigEndian.AppendUint64(head, uint64(n))
	}
	_, err := t.ws.NetConn().Write(append(append(head, 0, 0, 0, 0), payload...))
	return err
}

// First bytes of frames.
const (
	frameFin       = 0x80
	frameRSV1      = 0x40
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opPing         = 0x9
)

// video is the track of a small camera.
func video() *tunnel.Tracks {
	return &tunnel.Tracks{Tracks: []media.Track{{
		ID: 1, Kind: media.Video, Codec: media.H264, ClockRate: 90_000,
		SPS: []byte{0x67, 0x4d, 0x00, 0x28, 0xda, 0x01, 0xe0, 0x08, 0x9f, 0x95}, PPS: []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0},
	}}}
}

// picture is a small access unit of that track, each tenth of which is a key frame.
func picture(sequence uint64) *media.AccessUnit {
	u := &media.AccessUnit{Track: 1, Sequence: sequence, PTS: int64(sequence) * frameTicks, Payload: []byte{0, 0, 0, 2, 0x41, 0x9a}}
	if sequence%10 == 1 {
		u.RandomAccess, u.Payload = true, []byte{0, 0, 0, 2, 0x65, 0x88}
	}
	return u
}
