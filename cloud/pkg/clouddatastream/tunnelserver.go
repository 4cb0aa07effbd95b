// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emicklei/go-restful/v3"
	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/cloud/pkg/limit"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
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
	gate        *nodeGate
	perNode     *limit.Quota[string] // connections
	connections int

	sessions sync.WaitGroup
	mu       sync.Mutex
	nodes    map[string]*assignment.Report // the newest of each node that has tunnels
}

func newTunnelServer(c *v1alpha1.CloudDataStream, credentials Credentials, streams *StreamServer, report func(assignment.Report), m *metrics) *TunnelServer {
	cfg := c.Tunnel
	return &TunnelServer{
		cfg: cfg, timing: tunnel.DefaultTiming, streams: streams, report: report, metrics: m,
		refusals: newRefusalLog("Tunnel refused"), credentials: credentials,
		admission: newAdmission(cfg.HandshakesPerSecond, cfg.HandshakeBurst, m.handshakes),
		upgrader: websocket.Upgrader{
			Subprotocols:     []string{tunnel.Subprotocol},
			HandshakeTimeout: requestTimeout,
			WriteBufferSize:  4 << 10, // only control messages go this way
		},
		gate:  newNodeGate(newRevocations(cfg.CRLFile, credentials), m),
		nodes: make(map[string]*assignment.Report),

		perNode: limit.NewQuota[string](c.Limits.TunnelsPerNode), connections: usableConnections(c.Limits.Connections),
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
	t.gate.revoked.reload(time.Now())
	t.sessions.Go(func() { t.gate.run(ctx) })
	bounded := limit.NewListener(l, t.connections, t.metrics.refusals.WithLabelValues(refusedConnection).Inc)
	srv := &http.Server{
		Handler:        t.admission.guard(t.container()),
		TLSConfig:      tlsConfig,
		ReadTimeout:    requestTimeout,
		WriteTimeout:   requestTimeout,
		MaxHeaderBytes: 16 << 10,
		BaseContext:    func(net.Listener) context.Context { return ctx },
		ConnContext:    withTicket,
		ConnState:      bounded.ConnState,
		ErrorLog:       t.refusals.logger(),
	}
	srv.SetKeepAlivesEnabled(false) // edges ask once, and a ticket is for one request
	return serve(ctx, srv, func() error { return srv.ServeTLS(tunnelListener{bounded}, "", "") })
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
		pool := x509.NewCertPool()
		for _, c := range ca {
			pool.AddCert(c)
		}
		return &tls.Config{
			MinVersion:   tls.VersionTLS12,
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    pool,
			Certificates: []tls.Certificate{cert},
			NextProtos:   []string{"http/1.1"}, // a WebSocket needs it
			// Edges resume no sessions; who would could outlive its CA.
			SessionTicketsDisabled: true,
			VerifyConnection:       t.verifyConnection,
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

// verifyConnection ends the handshake of a certificate that is revoked. It is a tls.Config.VerifyConnection.
func (t *TunnelServer) verifyConnection(state tls.ConnectionState) error {
	err := t.gate.revoked.check(state.VerifiedChains)
	t.metrics.refuse(err)
	return err
}

// refuse answers a request that is not for its caller, or not as it should be.
func (t *TunnelServer) refuse(resp *restful.Response, r *http.Request, code int, reason metav1.StatusReason, err error) {
	t.refusals.log(r.RemoteAddr, err.Error())
	t.metrics.refuse(err)
	writeStatus(resp, code, reason, err.Error())
}

// authenticate returns who the caller is if that is the node that the path names and that may have tunnels, and answers
// if not.
func (t *TunnelServer) authenticate(resp *restful.Response, r *http.Request, node string) (nodeIdentity, bool) {
	id, err := identify(r.TLS)
	switch {
	case err != nil:
	case id.node != node:
		err = &refusal{refusedNode, fmt.Sprintf("node %s may not act as node %.253q", id.node, node)}
	default:
		err = t.gate.check(id, time.Now())
	}
	if err != nil {
		t.refuse(resp, r, http.StatusForbidden, metav1.StatusReasonForbidden, err)
		return nodeIdentity{}, false
	}
	return id, true
}

func (t *TunnelServer) handleTunnel(req *restful.Request, resp *restful.Response) {
	r := req.Request
	key, err := tunnel.ParsePath(r.URL.Path)
	if err != nil {
		t.refuse(resp, r, http.StatusBadRequest, metav1.StatusReasonBadRequest, &refusal{refusedRequest, err.Error()})
		return
	}
	id, ok := t.authenticate(resp, r, key.Node)
	if !ok {
		return
	}
	video := t.streams.find(key)
	if video == nil {
		// The node may know more than this server, which may have just started.
		resp.Header().Set("Retry-After", "1")
		t.refuse(resp, r, http.StatusNotFound, metav1.StatusReasonNotFound, &refusal{refusedTarget, "no such target is assigned to this node"})
		return
	}
	if !slices.Contains(websocket.Subprotocols(r), tunnel.Subprotocol) {
		t.refuse(resp, r, http.StatusBadRequest, metav1.StatusReasonBadRequest,
			&refusal{refusedRequest, "the WebSocket must offer the subprotocol " + tunnel.Subprotocol})
		return
	}
	t.sessions.Add(1)
	defer t.sessions.Done()
	ctx, leave, err := t.gate.enter(r.Context(), id)
	if err != nil {
		t.refuse(resp, r, http.StatusForbidden, metav1.StatusReasonForbidden, err)
		return
	}
	defer leave()
	if !t.perNode.Take(id.node) {
		resp.Header().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
		t.refuse(resp, r, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests,
			&refusal{refusedTooMany, "the node has as many tunnels as limits.tunnelsPerNode allows"})
		return
	}
	defer t.perNode.GiveBack(id.node)
	ws, err := t.upgrader.Upgrade(resp.ResponseWriter, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	t.serveTunnel(ctx, tunnel.NewConn(ws, t.timing, t.cfg.MaxPayload), video, id.serial())
}

// serveTunnel serves a tunnel until it or ctx ends. The log has the certificate's serial number: it is what one revokes.
func (t *TunnelServer) serveTunnel(ctx context.Context, conn *tunnel.Conn, video *VideoSession, serial string) {
	log := klog.LoggerWithValues(klog.FromContext(ctx), "stream", video.key)
	s, err := t.acceptSession(ctx, conn, video)
	if err != nil {
		log.Info("Tunnel refused", "err", err)
		_ = conn.Close(tunnel.CloseCode(err), err.Error())
		return
	}
	log = klog.LoggerWithValues(log, "epoch", s.hello.Epoch)
	log.Info("Tunnel connected", "revision", s.hello.Revision, "certificate", serial)
	t.note(s.hello.Node, func(r *assignment.Report) { r.Revision, r.Tunnels = s.hello.Revision, r.Tunnels+1 })
	t.metrics.tunnels.Inc()
	err = s.run(ctx)
	t.metrics.tunnels.Dec()
	t.metrics.ended(s, err)
	t.note(s.hello.Node, func(r *assignment.Report) { r.Tunnels-- })
	_ = conn.Close(closeCode(err), err.Error())
	log.Info("Tunnel ended", "err", err)
}

// acceptSession waits for the hello, which has to come in time and before ctx ends.
func (t *TunnelServer) acceptSession(ctx context.Context, conn *tunnel.Conn, video *VideoSession) (*Session, error) {
	// Pings are life, but no hello.
	late := time.AfterFunc(t.timing.ReadTimeout, func() { _ = conn.Close(tunnel.CloseMalformed, "no hello in time") })
	defer late.Stop()
	defer context.AfterFunc(ctx, func() { closeFor(ctx, conn) })()
	s, err := acceptSession(conn, video)
	if err != nil && ctx.Err() == nil { // else it was cut off, which has been counted, or the server ends
		t.metrics.refusals.WithLabelValues(refusedHello).Inc()
	}
	return s, err
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
	if n.Tunnels == 0 {
		delete(t.nodes, node) // whatever comes next from it says all that is to be known
	}
	t.mu.Unlock()
	t.report(report)
}

func (t *TunnelServer) handleRevision(req *restful.Request, resp *restful.Response) {
	node := req.PathParameter("node")
	if _, ok := t.authenticate(resp, req.Request, node); !ok {
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
