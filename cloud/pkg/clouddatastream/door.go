// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"github.com/emicklei/go-restful/v3"

	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

// door is all routes behind the guard, and what the guard wants of TLS.
func (s *StreamServer) door() (http.Handler, *tls.Config, error) {
	cfg := viewerauth.Config{
		TicketKeyFile:   s.cfg.TicketKeyFile,
		TicketLifetime:  s.cfg.TicketLifetime.Duration,
		RecheckInterval: s.cfg.RecheckInterval.Duration,
		Origins:         s.cfg.AllowedOrigins,
		Refused:         func(reason viewerauth.Reason) { s.limits.refused(string(reason)) },

		TicketsPerSecond: s.limits.callsPerSecond, TicketBurst: callBurst * s.limits.callsPerSecond,
	}
	if s.cfg.Authentication != v1alpha1.AuthenticationNone {
		if cfg.Reviewer = s.reviewer; cfg.Reviewer == nil {
			return nil, nil, fmt.Errorf("authentication is %q, and there is no API server to ask", s.cfg.Authentication)
		}
	}
	guard, err := viewerauth.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	if s.cfg.CertFile != "" {
		if _, err := s.certificate(nil); err != nil {
			return nil, nil, err
		}
	}
	tlsConfig := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// It changes nothing. It is called behind the ClientHello, in front of everything that costs.
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return nil, s.admission.enter(hello) },
		GetCertificate:     s.certificate,
	}
	if s.cfg.ClientCAFile != "" {
		ca, err := readAuthorities(s.cfg.ClientCAFile)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the CA of viewers: %w", err)
		}
		tlsConfig.ClientCAs = x509.NewCertPool()
		for _, c := range ca {
			tlsConfig.ClientCAs.AddCert(c)
		}
		tlsConfig.ClientAuth = tls.VerifyClientCertIfGiven
		s.viewersCA.Store(&ca)
	}
	return boundBody(requestTimeout, s.sites.wrap(s.admission.guard(guard.Wrap(s.container())))), tlsConfig, nil
}

// certificate is the one that viewers are shown now. It is a tls.Config.GetCertificate.
func (s *StreamServer) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, err := s.keyPair.load(time.Now())
	if err != nil {
		return nil, fmt.Errorf("reading the viewers' certificate: %w", err)
	}
	return cert, nil
}

func (s *StreamServer) container() *restful.Container {
	ws := new(restful.WebService).Path("/").Produces("*/*") // what a viewer accepts chooses the answer, it is no reason to refuse
	for _, path := range []string{"/node/{node}/{rule}/{path:*}", "/namespaces/{namespace}/node/{node}/{rule}/{path:*}"} {
		ws.Route(ws.GET(path).To(s.handleView))
		ws.Route(ws.HEAD(path).To(s.handleView))
		ws.Route(ws.POST(path).To(s.handleControl))
	}
	// URLs that end before the path still say which part of them is unknown.
	for _, path := range []string{"/node/{node}", "/node/{node}/{rule}", "/namespaces/{namespace}/node/{node}", "/namespaces/{namespace}/node/{node}/{rule}"} {
		ws.Route(ws.GET(path).To(s.handleView))
		ws.Route(ws.HEAD(path).To(s.handleView))
	}
	plain := func(path string, h http.Handler) {
		handle := func(req *restful.Request, resp *restful.Response) { h.ServeHTTP(resp.ResponseWriter, req.Request) }
		ws.Route(ws.GET(path).To(handle))
		ws.Route(ws.HEAD(path).To(handle)) // net/http leaves the body out
	}
	plain("/healthz", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }))
	plain("/readyz", http.HandlerFunc(s.handleReady))
	plain("/metrics", s.gatherer)
	plain("/streams", http.HandlerFunc(s.handleList))
	for path, h := range s.profiles() {
		plain(path, h)
	}
	plain("/assets/{path:*}", http.StripPrefix("/assets/", http.HandlerFunc(serveAsset)))
	return newContainer(ws)
}
