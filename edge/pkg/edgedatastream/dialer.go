// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const (
	handshakeTimeout = 10 * time.Second
	// maxRetryAfter bounds how long the cloud can send a tunnel away.
	maxRetryAfter = 5 * time.Minute
)

// dialer connects one tunnel.
type dialer interface {
	dial(ctx context.Context, key tunnel.StreamKey) (*tunnel.Conn, error)
}

// refusedError is an HTTP answer other than the upgrade.
type refusedError struct {
	status     int
	retryAfter time.Duration
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("the cloud answered %d %s", e.status, http.StatusText(e.status))
}

// webSocketDialer is the dialer of protocol "websocket".
type webSocketDialer struct {
	server string
	tls    func() (*tls.Config, error)
	timing tunnel.Timing
	pool   sync.Pool // of write buffers, shared by all tunnels
}

func (d *webSocketDialer) dial(ctx context.Context, key tunnel.StreamKey) (*tunnel.Conn, error) {
	config, err := d.tls()
	if err != nil {
		return nil, err
	}
	ws := websocket.Dialer{
		Proxy:            http.ProxyFromEnvironment,
		TLSClientConfig:  config,
		HandshakeTimeout: handshakeTimeout,
		WriteBufferSize:  tunnel.WriteBufferSize,
		WriteBufferPool:  &d.pool,
		Subprotocols:     []string{tunnel.Subprotocol},
	}
	conn, resp, err := ws.DialContext(ctx, d.server+key.URLPath(), nil)
	if resp != nil {
		defer resp.Body.Close() // holds what the library read of a refusal
	}
	if errors.Is(err, websocket.ErrBadHandshake) && resp != nil {
		return nil, &refusedError{status: resp.StatusCode, retryAfter: retryAfter(resp.Header, time.Now())}
	}
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", d.server, err)
	}
	if conn.Subprotocol() != tunnel.Subprotocol {
		conn.Close()
		return nil, fmt.Errorf("dialling %s: the server does not speak %s", d.server, tunnel.Subprotocol)
	}
	return tunnel.NewConn(conn, d.timing, tunnel.DefaultMaxPayload), nil
}

// retryAfter reads the header of that name (RFC 9110, 10.2.3), 0 if there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	var d time.Duration
	if seconds, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// tlsConfig reads what the node trusts and returns a client configuration that reads the node's certificate at
// each handshake: edgecore rotates both in place.
func tlsConfig(cfg *v1alpha1.EdgeDataStream) (*tls.Config, error) {
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading CA certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no PEM certificate in %s", cfg.CAFile)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("reading node certificate: %w", err)
			}
			return &cert, nil
		},
	}, nil
}
