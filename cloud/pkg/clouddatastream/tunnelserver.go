// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emicklei/go-restful/v3"
	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Names that KubeEdge puts into a node's certificate.
const (
	nodeCommonNamePrefix = "system:node:"
	nodeOrganization     = "system:nodes"
)

// requestTimeout bounds, one after the other, a TLS handshake, a request and its answer.
const requestTimeout = 10 * time.Second

// credentialsInterval is how often credentials that are not there yet are looked for.
const credentialsInterval = time.Second

// TunnelServer is where edges connect: one WebSocket per target, over mutual TLS.
type TunnelServer struct {
	cfg      v1alpha1.TunnelServer
	timing   tunnel.Timing
	streams  *StreamServer
	report   func(assignment.Report)
	metrics  *metrics
	refusals *refusalLog
	upgrader websocket.Upgrader

	admission   *admission
	credentials Credentials

	sessions sync.WaitGroup
	mu       sync.Mutex
	nodes    map[string]*assignment.Report // the newest of each node that has been here
}

func newTunnelServer(cfg v1alpha1.TunnelServer, credentials Credentials, streams *StreamServer, report func(assignment.Report), m *metrics) *TunnelServer {
	return &TunnelServer{
		cfg: cfg, timing: tunnel.DefaultTiming, streams: streams, report: report, metrics: m,
		refusals: newRefusalLog(), credentials: credentials,
		admission: newAdmission(cfg.HandshakesPerSecond, cfg.HandshakeBurst, m),
		upgrader: websocket.Upgrader{
			Subprotocols:     []string{tunnel.Subprotocol},
			HandshakeTimeout: requestTimeout,
			WriteBufferSize:  4 << 10, // only control messages go this way
		},
		nodes: make(map[string]*assignment.Report),
	}
}

// Serve accepts tunnels on l until ctx ends, and returns when all of them have ended.
func (t *TunnelServer) Serve(ctx context.Context, l net.Listener) error {
	tlsConfig, err := t.tlsConfig(ctx)
	if err != nil {
		l.Close()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer t.sessions.Wait()
	defer cancel()
	srv := &http.Server{
		Handler:        t.admission.guard(t.container()),
		TLSConfig:      tlsConfig,
		ReadTimeout:    requestTimeout,
		WriteTimeout:   requestTimeout,
		MaxHeaderBytes: 16 << 10,
		BaseContext:    func(net.Listener) context.Context { return ctx },
		ConnContext:    withTicket,
		ErrorLog:       t.refusals.logger(),
	}
	srv.SetKeepAlivesEnabled(false) // edges ask once, and a ticket is for one request
	return serve(ctx, srv, func() error { return srv.ServeTLS(tunnelListener{l}, "", "") })
}

func (t *TunnelServer) container() *restful.Container {
	ws := new(restful.WebService).Path("/v1/kubeedge/datastream")
	ws.Route(ws.GET("/{node}/{namespace}/{rule}/{path:*}").To(t.handleTunnel))
	ws.Route(ws.POST("/{node}/revision").To(t.handleRevision))
	return newContainer(ws)
}

// tlsConfig waits until there are credentials, and then asks for them anew for each handshake, since they rotate.
func (t *TunnelServer) tlsConfig(ctx context.Context) (*tls.Config, error) {
	load := func() (*tls.Config, error) {
		ca, cert, err := t.credentials.Load()
		if err != nil {
			return nil, fmt.Errorf("loading the tunnel server's credentials: %w", err)
		}
		return &tls.Config{
			MinVersion:   tls.VersionTLS12,
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    ca,
			Certificates: []tls.Certificate{cert},
			NextProtos:   []string{"http/1.1"}, // a WebSocket needs it
		}, nil
	}
	retry := time.NewTicker(credentialsInterval)
	defer retry.Stop()
	for said := false; ; {
		cfg, err := load()
		if err == nil {
			cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				if err := t.admission.enter(hello); err != nil {
					return nil, err
				}
				return load()
			}
			return cfg, nil
		}
		if !said {
			klog.InfoS("Waiting for credentials", "err", err)
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-retry.C:
		}
	}
}

// nodeOf returns the node that the client certificate was issued to.
func nodeOf(r *http.Request) (string, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return "", errors.New("no verified client certificate")
	}
	subject := r.TLS.PeerCertificates[0].Subject
	node, ok := strings.CutPrefix(subject.CommonName, nodeCommonNamePrefix)
	if !ok || node == "" || !slices.Contains(subject.Organization, nodeOrganization) {
		return "", fmt.Errorf("the client certificate of %.64q is not a node's", subject.CommonName)
	}
	return node, nil
}

// authenticate checks that the caller is the node that the path names, and answers if it is not.
func (t *TunnelServer) authenticate(resp *restful.Response, r *http.Request, node string) bool {
	caller, err := nodeOf(r)
	if err == nil && caller != node {
		err = fmt.Errorf("node %s may not act as node %.64s", caller, node)
	}
	if err != nil {
		t.refusals.log(r.RemoteAddr, err.Error())
		writeStatus(resp, http.StatusForbidden, metav1.StatusReasonForbidden, err.Error())
		return false
	}
	return true
}

func (t *TunnelServer) handleTunnel(req *restful.Request, resp *restful.Response) {
	r := req.Request
	key, err := tunnel.ParsePath(r.URL.Path)
	if err != nil {
		writeStatus(resp, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	if !t.authenticate(resp, r, key.Node) {
		return
	}
	video := t.streams.find(key)
	if video == nil {
		// The node may know more than this server, which may have just started.
		resp.Header().Set("Retry-After", "1")
		writeStatus(resp, http.StatusNotFound, metav1.StatusReasonNotFound, "no such target is assigned to this node")
		return
	}
	if !slices.Contains(websocket.Subprotocols(r), tunnel.Subprotocol) {
		writeStatus(resp, http.StatusBadRequest, metav1.StatusReasonBadRequest, "the WebSocket must offer the subprotocol "+tunnel.Subprotocol)
		return
	}
	t.sessions.Add(1)
	defer t.sessions.Done()
	ws, err := t.upgrader.Upgrade(resp.ResponseWriter, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	t.serveTunnel(r.Context(), tunnel.NewConn(ws, t.timing, t.cfg.MaxPayload), video)
}

func (t *TunnelServer) serveTunnel(ctx context.Context, conn *tunnel.Conn, video *VideoSession) {
	// Pings are life, but no hello.
	late := time.AfterFunc(t.timing.ReadTimeout, func() { _ = conn.Close(tunnel.CloseMalformed, "no hello in time") })
	s, err := acceptSession(conn, video)
	late.Stop()
	if err != nil {
		klog.InfoS("Tunnel refused", "stream", video.key.String(), "err", err)
		_ = conn.Close(tunnel.CloseCode(err), err.Error())
		return
	}
	klog.InfoS("Tunnel connected", "stream", video.key.String(), "epoch", s.hello.Epoch, "revision", s.hello.Revision)
	t.note(s.hello.Node, func(r *assignment.Report) { r.Revision, r.Tunnels = s.hello.Revision, r.Tunnels+1 })
	t.metrics.tunnels.Inc()
	err = s.run(ctx)
	t.metrics.tunnels.Dec()
	t.note(s.hello.Node, func(r *assignment.Report) { r.Tunnels-- })
	_ = conn.Close(closeCode(err), err.Error())
	klog.InfoS("Tunnel ended", "stream", video.key.String(), "epoch", s.hello.Epoch, "err", err)
}

// note changes what is known of a node and reports it.
func (t *TunnelServer) note(node string, change func(*assignment.Report)) {
	t.mu.Lock()
	n := t.nodes[node]
	if n == nil {
		n = &assignment.Report{Node: node}
		t.nodes[node] = n
	}
	change(n)
	report := *n
	t.mu.Unlock()
	t.report(report)
}

func (t *TunnelServer) handleRevision(req *restful.Request, resp *restful.Response) {
	node := req.PathParameter("node")
	if !t.authenticate(resp, req.Request, node) {
		return
	}
	var body tunnel.Revision
	if err := json.NewDecoder(http.MaxBytesReader(resp, req.Request.Body, 4<<10)).Decode(&body); err != nil {
		writeStatus(resp, http.StatusBadRequest, metav1.StatusReasonBadRequest, "decoding revision: "+err.Error())
		return
	}
	t.note(node, func(r *assignment.Report) { r.Revision = body.Revision })
	resp.WriteHeader(http.StatusNoContent)
}
