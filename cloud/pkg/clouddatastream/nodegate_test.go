// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/pki"
)

// gatePatience bounds a wait; nothing is asserted about time.
const gatePatience = 20 * time.Second

// guarded is a server with a node that has one target, and the file with what is revoked.
type guarded struct {
	*revoking
	server  *Server
	address string
	reports chan assignment.Report
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{revoking: newRevoking(t), reports: make(chan assignment.Report, 64)}
	dir := t.TempDir()
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Stream.Authentication = v1alpha1.AuthenticationNone
	cfg.Tunnel.CRLFile = g.file
	cfg.Tunnel.CAFile, cfg.Tunnel.CertFile, cfg.Tunnel.KeyFile = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	server, err := g.ca.Issue(pki.Server("cloud"))
	if err := errors.Join(err, server.Write(cfg.Tunnel.CertFile, cfg.Tunnel.KeyFile), os.WriteFile(cfg.Tunnel.CAFile, g.ca.PEM(), 0o600),
		os.WriteFile(g.file, revoke(t, g.ca), 0o600)); err != nil {
		t.Fatal(err)
	}
	g.server = NewServer(cfg, func(r assignment.Report) { g.reports <- r })
	g.server.tunnels.gate.interval = 20 * time.Millisecond
	g.directory("")
	tunnels, viewers := gateListener(t), gateListener(t)
	g.address = tunnels.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.server.Serve(ctx, tunnels, viewers) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return g
}

func gateListener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (g *guarded) directory(refused string) {
	g.server.Apply(assignment.NodeDirectory{
		Node: "edge-1", Refused: refused, Entries: []assignment.Entry{{Namespace: "default", Rule: "gate", Path: "/camera"}},
	})
}

func (g *guarded) dial(p pki.Pair) (*websocket.Conn, *http.Response, error) {
	g.Helper()
	cert, err := tls.X509KeyPair(p.PEM())
	if err != nil {
		g.Fatal(err)
	}
	d := websocket.Dialer{
		TLSClientConfig: &tls.Config{RootCAs: g.ca.Pool(), Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		Subprotocols:    []string{tunnel.Subprotocol}, HandshakeTimeout: gatePatience,
	}
	key := tunnel.StreamKey{Node: "edge-1", Namespace: "default", Rule: "gate", Path: "/camera"}
	return d.Dial("wss://"+g.address+key.URLPath(), nil)
}

// connect returns a tunnel of which the server has taken the hello.
func (g *guarded) connect(p pki.Pair) *websocket.Conn {
	g.Helper()
	ws := g.silent(p)
	hello := &tunnel.Hello{Node: "edge-1", Epoch: uint64(time.Now().UnixNano())}
	if err := tunnel.NewConn(ws, tunnel.DefaultTiming, tunnel.DefaultMaxPayload).WriteMessage(hello); err != nil {
		g.Fatal(err)
	}
	for {
		select {
		case r := <-g.reports:
			if r.Tunnels > 0 {
				return ws
			}
		case <-time.After(gatePatience):
			g.Fatal("the server has taken no hello")
		}
	}
}

// wantReport waits until the server reports that the node has so many tunnels.
func (g *guarded) wantReport(tunnels int) {
	g.Helper()
	for {
		select {
		case r := <-g.reports:
			if r.Tunnels == tunnels {
				return
			}
		case <-time.After(gatePatience):
			g.Fatalf("the server has not reported %d tunnels", tunnels)
		}
	}
}

// silent returns a tunnel that says no hello.
func (g *guarded) silent(p pki.Pair) *websocket.Conn {
	g.Helper()
	ws, _, err := g.dial(p)
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { ws.Close() })
	return ws
}

// wantCut waits until the server closes the tunnel for that reason.
func (g *guarded) wantCut(ws *websocket.Conn, why string) {
	g.Helper()
	_ = ws.SetReadDeadline(time.Now().Add(gatePatience))
	for {
		_, _, err := ws.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case err == nil:
		case !errors.As(err, &closed) || closed.Code != websocket.ClosePolicyViolation || !strings.Contains(closed.Text, why):
			g.Fatalf("%v, want the tunnel to be closed since %q", err, why)
		default:
			return
		}
	}
}

// wantRefused dials and is answered with a status that says why not.
func (g *guarded) wantRefused(p pki.Pair, why string) {
	g.Helper()
	_, resp, err := g.dial(p)
	if !errors.Is(err, websocket.ErrBadHandshake) || resp.StatusCode != http.StatusForbidden {
		g.Fatalf("%v, want 403", err)
	}
	defer resp.Body.Close()
	var s metav1.Status
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || s.Code != http.StatusForbidden || !strings.Contains(s.Message, why) {
		g.Errorf("%v in %+v, want %q in its message", err, s, why)
	}
}

func (g *guarded) wantCount(reason string, want float64) {
	g.Helper()
	var m dto.Metric
	if err := g.server.tunnels.metrics.refusals.WithLabelValues(reason).Write(&m); err != nil || m.GetCounter().GetValue() != want {
		g.Errorf("%v of reason %s, want %v (%v)", m.GetCounter().GetValue(), reason, want, err)
	}
}

// Tunnels of a node that the controller does not let in any more are closed, also one that has said no hello, and its dials
// are refused until it does again.
func TestRefusedNode(t *testing.T) {
	g := newGuarded(t)
	edge := g.issue("edge-1")
	open, silent := g.connect(edge), g.silent(edge)
	g.directory("the Node was deleted")
	g.wantCut(open, "the Node was deleted")
	g.wantCut(silent, "the Node was deleted")
	g.wantRefused(edge, "the Node was deleted")
	g.wantCount(refusedDeleted, 3)
	g.directory("")
	g.connect(edge)
}

// Nodes that are done with are not remembered: neither that they were refused once they have no targets, nor what they have reported once they
// have no tunnels.
func TestNodesAreForgotten(t *testing.T) {
	g := newGuarded(t)
	gate, tunnels := g.server.tunnels.gate, g.server.tunnels
	count := func() (refused, reported int) {
		gate.mu.Lock()
		defer gate.mu.Unlock()
		tunnels.mu.Lock()
		defer tunnels.mu.Unlock()
		return len(gate.refused), len(tunnels.nodes)
	}
	edge := g.issue("edge-1")
	first, second := g.connect(edge), g.connect(edge) // which takes the first one's place
	g.wantReport(1)
	if _, reported := count(); reported != 1 {
		t.Errorf("%d nodes with tunnels, want 1", reported)
	}
	second.Close()
	g.wantReport(0)
	first.Close()
	tunnels.note("edge-2", func(r *assignment.Report) { r.Revision = "1" }) // it has no targets
	g.directory("the Node was deleted")
	if refused, reported := count(); refused != 1 || reported != 0 {
		t.Errorf("%d nodes are refused and %d have tunnels, want 1 and none", refused, reported)
	}
	g.wantRefused(edge, "the Node was deleted")
	g.server.Apply(assignment.NodeDirectory{Node: "edge-1", Refused: "the Node was deleted"})
	if refused, _ := count(); refused != 0 {
		t.Errorf("%d nodes without targets are remembered", refused)
	}
	if _, resp, err := g.dial(edge); !errors.Is(err, websocket.ErrBadHandshake) || resp.StatusCode != http.StatusNotFound {
		t.Errorf("%v, want 404 since it has no target", err)
	}
}

// The tunnel of a certificate that is revoked is closed, and its handshakes fail; the node's next certificate is good.
func TestRevokedNode(t *testing.T) {
	g := newGuarded(t)
	first, second := g.issue("edge-1"), g.issue("edge-1")
	open := g.connect(first)
	if err := os.WriteFile(g.file, revoke(t, g.ca, first), 0o600); err != nil {
		t.Fatal(err)
	}
	g.wantCut(open, "is revoked")
	var alert *net.OpError
	if _, _, err := g.dial(first); !errors.As(err, &alert) || alert.Op != "remote error" {
		t.Errorf("%v, want the handshake to fail", err)
	}
	g.wantCount(refusedRevoked, 2)
	g.connect(second)
}

// A certificate that runs out takes its tunnel with it.
func TestExpiredNode(t *testing.T) {
	g := newGuarded(t)
	open := g.connect(g.issue("edge-1"))
	g.server.tunnels.gate.sweep(time.Now().AddDate(1, 0, 0))
	g.wantCut(open, "has expired")
	g.wantCount(refusedExpired, 1)
}
