// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emicklei/go-restful/v3"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/player"
	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tracing"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const (
	defaultFormat = "mp4"
	formatMSE     = "mse"
	formatState   = "state" // not an output: the stream's status as JSON
)

// StreamServer is where viewers connect. It holds the VideoSessions, one for each target there is.
type StreamServer struct {
	cfg       v1alpha1.StreamServer
	session   videoSessionConfig
	registry  output.Registry
	reviewer  viewerauth.Reviewer // of viewers, unless authentication is none
	metrics   *metrics
	gatherer  http.Handler // of /metrics
	limits    *viewerLimits
	sites     *sites
	admission *admission                          // of TLS handshakes
	keyPair   *keyPair                            // of TLS, if there is any
	viewersCA atomic.Pointer[[]*x509.Certificate] // by which viewers with certificates are known; nil before it serves, or if there is none
	tracer    *tracing.Tracer

	viewers sync.WaitGroup
	mu      sync.RWMutex
	videos  map[tunnel.StreamKey]*VideoSession
	nodes   map[string]int // targets of each node
	synced  bool
	waiting string // for what, before that
}

func newStreamServer(cfg *v1alpha1.CloudDataStream, m *metrics, reg *prometheus.Registry) *StreamServer {
	limits := newViewerLimits(&cfg.Limits, reg)
	sites := newSites(&cfg.Stream, limits.refused)
	return &StreamServer{
		cfg: cfg.Stream, limits: limits, sites: sites,
		session: videoSessionConfig{
			memory:     limits.memory,
			stopGrace:  cfg.Stream.StopGrace.Duration,
			holdTime:   cfg.Stream.HoldTime.Duration,
			maxViewers: cfg.Limits.Viewers,
			gopBytes:   cfg.Limits.GOPBytes,
			gopMax:     cfg.Limits.GOPDuration.Duration,
			output: output.Config{
				MaxBytes:     cfg.Limits.OutputBytes,
				MaxLag:       cfg.Stream.MaxLag.Duration,
				WriteTimeout: cfg.Stream.WriteTimeout.Duration,
				Memory:       limits.memory,
				CheckOrigin:  sites.mayUpgrade,
				Metrics:      output.NewMetrics(reg, outputs().Names()...),
			},
		},
		registry: outputs(), metrics: m,
		admission: newViewerAdmission(runtime.GOMAXPROCS(0), newHandshakeMetrics(reg, "viewer", "viewers")),
		keyPair:   newKeyPair(cfg.Stream.CertFile, cfg.Stream.KeyFile),
		gatherer:  metricsHandler(reg),
		videos:    make(map[tunnel.StreamKey]*VideoSession),
		nodes:     make(map[string]int),
	}
}

// Serve accepts viewers on l until ctx ends, and returns when all of them have left.
func (s *StreamServer) Serve(ctx context.Context, l net.Listener) error {
	handler, tlsConfig, err := s.door()
	if err != nil {
		l.Close()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer s.renew() // it may be served again
	defer s.viewers.Wait()
	defer func() {
		cancel()
		for _, v := range s.all() { // lets viewers go, also those who wait for a message
			v.remove(tunnel.CloseGoingAway, "the server ends")
		}
	}()
	bounded := s.limits.listen(l)
	var protocols http.Protocols
	protocols.SetHTTP1(true) // and no other: outputs take connections over, and limits count them
	srv := &http.Server{
		Handler:           handler,
		Protocols:         &protocols,
		ReadHeaderTimeout: requestTimeout, // bodies have their own
		// Outputs that stream take their connection over, or clear its deadlines.
		WriteTimeout:   s.cfg.WaitTimeout.Duration + requestTimeout,
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: 16 << 10,
		BaseContext:    func(net.Listener) context.Context { return ctx },
		ConnContext:    func(ctx context.Context, c net.Conn) context.Context { return withTicket(boundBacklog(ctx, c), c) },
		ConnState:      bounded.ConnState,
		TLSConfig:      tlsConfig,
		ErrorLog:       newRefusalLog("Connection of a viewer refused").logger(),

		DisableGeneralOptionsHandler: true, // OPTIONS * is for the guard as all else
	}
	return serve(ctx, srv, func() error {
		if s.cfg.CertFile != "" {
			return srv.ServeTLS(bounded, "", "")
		}
		return srv.Serve(bounded)
	})
}

// tick lets time pass for every stream until ctx ends.
func (s *StreamServer) tick(ctx context.Context) {
	t := time.NewTicker(max(min(s.session.stopGrace/4, time.Second), 10*time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			for _, v := range s.all() {
				v.Tick(now)
			}
		}
	}
}

func (s *StreamServer) handleReady(w http.ResponseWriter, _ *http.Request) {
	s.mu.RLock()
	synced, waiting := s.synced, s.waiting
	s.mu.RUnlock()
	if !synced {
		message := "rules have not been received yet"
		if waiting != "" {
			message += ": " + waiting
		}
		http.Error(w, message, http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// find returns the stream, or nil.
func (s *StreamServer) find(key tunnel.StreamKey) *VideoSession {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.videos[key]
}

func (s *StreamServer) all() []*VideoSession {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*VideoSession, 0, len(s.videos))
	for _, v := range s.videos {
		all = append(all, v)
	}
	return all
}

// renew puts a new VideoSession in the place of each, which ended with the server.
func (s *StreamServer) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, v := range s.videos {
		s.videos[key] = newVideoSession(key, v.target(), s.session, s.registry, s.metrics)
	}
}

// apply makes the streams of one node what its directory says. Streams that stay are not disturbed.
func (s *StreamServer) apply(d assignment.NodeDirectory) {
	wanted := make(map[tunnel.StreamKey]assignment.Entry, len(d.Entries))
	for _, e := range d.Entries {
		wanted[tunnel.StreamKey{Node: d.Node, Namespace: e.Namespace, Rule: e.Rule, Path: e.Path}] = e
	}
	var gone []*VideoSession
	s.mu.Lock()
	for key, v := range s.videos {
		if key.Node != d.Node {
			continue
		}
		if e, ok := wanted[key]; ok && e.RuleUID == v.ruleUID() {
			v.update(e)
			delete(wanted, key)
			continue
		}
		gone = append(gone, v)
		delete(s.videos, key)
	}
	for key, e := range wanted {
		s.videos[key] = newVideoSession(key, e, s.session, s.registry, s.metrics)
	}
	if len(d.Entries) == 0 {
		delete(s.nodes, d.Node)
	} else {
		s.nodes[d.Node] = len(d.Entries)
	}
	s.mu.Unlock()
	for _, v := range gone {
		v.remove(tunnel.CloseNormal, errRemoved.Error())
	}
}

func (s *StreamServer) setWaiting(what string) {
	s.mu.Lock()
	s.waiting = what
	s.mu.Unlock()
}

func (s *StreamServer) setSynced() {
	s.mu.Lock()
	s.synced = true
	s.mu.Unlock()
}

// keyOf is the stream that the guard has let the caller to. The router's parameters are not asked: they could say otherwise.
func keyOf(req *restful.Request) tunnel.StreamKey {
	return viewerauth.From(req.Request.Context()).Stream
}

func (s *StreamServer) handleView(req *restful.Request, resp *restful.Response) {
	r, w := req.Request, resp.ResponseWriter
	video := s.lookup(w, keyOf(req))
	if video == nil {
		return
	}
	format := r.URL.Query().Get("format")
	switch {
	case format != "":
	case websocket.IsWebSocketUpgrade(r):
		format = formatMSE
	case strings.Contains(r.Header.Get("Accept"), "text/html"):
		s.handlePage(w, r)
		return
	default:
		format = defaultFormat
	}
	if format == formatState {
		status, _ := video.Status()
		writeJSON(w, status)
		return
	}
	if format == formatMSE && !websocket.IsWebSocketUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		writeStatus(w, http.StatusUpgradeRequired, metav1.StatusReasonBadRequest, "format mse is read over a WebSocket")
		return
	}
	s.view(w, r, video, format)
}

// view makes the caller a viewer and returns when it has left.
func (s *StreamServer) view(w http.ResponseWriter, r *http.Request, video *VideoSession, format string) {
	s.viewers.Add(1)
	defer s.viewers.Done()
	r, end := s.traceWatch(r, video, format)
	end(s.serveViewer(w, r, video, format))
}

// serveViewer is view without the trace of it. Its error is why the viewer got nothing.
func (s *StreamServer) serveViewer(w http.ResponseWriter, r *http.Request, video *VideoSession, format string) error {
	leave, err := s.limits.enter(video.key.Node, viewerauth.From(r.Context()).Caller())
	if err != nil {
		logRefusal(r, err)
		s.refuse(w, video, err)
		return err
	}
	defer leave()
	viewer, detach, err := video.Attach(format)
	if err != nil {
		logRefusal(r, err)
		s.refuse(w, video, err)
		return err
	}
	defer detach()
	r = s.timed(r, video, viewer, format)
	// A WebSocket is told what is going on; everybody else wants bytes or a reason.
	if !websocket.IsWebSocketUpgrade(r) {
		err := video.wait(r.Context(), viewer, s.cfg.WaitTimeout.Duration)
		if errors.Is(err, errCannotCarry) || errors.Is(err, errRemoved) {
			s.refuse(w, video, err)
			return err
		}
		if err != nil {
			s.unavailable(w, video, err)
			return err
		}
	}
	viewer.ServeHTTP(w, r)
	return nil
}

// logRefusal tells who was let in by the guard, and then refused.
func logRefusal(r *http.Request, err error) {
	klog.V(2).InfoS("Viewer refused", "user", viewerauth.From(r.Context()).User(), "remote", r.RemoteAddr, "path", r.URL.EscapedPath(), "reason", err.Error())
}

func (s *StreamServer) handlePage(w http.ResponseWriter, r *http.Request) {
	if err := viewerauth.From(r.Context()).SetCookie(w, s.cfg.CertFile != "" || behindTLS(r)); err != nil {
		writeStatus(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, err.Error())
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", player.ContentSecurityPolicy+"; "+frameAncestors(s.cfg.AllowedOrigins))
	_, _ = w.Write(player.Page())
}

// behindTLS says whether a proxy has taken the request by TLS. Who only claims so gets a cookie that is of less use.
func behindTLS(r *http.Request) bool {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",") // the viewer's own hop, of several
	return strings.EqualFold(strings.TrimSpace(first), "https")
}
