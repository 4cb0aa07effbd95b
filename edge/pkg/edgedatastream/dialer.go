// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const (
	// connectTimeout bounds how long nobody may answer. It is short since SYNs come ever more rarely, and there
	// is another try soon. One try in patientShare waits for longer, for paths with seconds of queue.
	connectTimeout = 1800 * time.Millisecond
	patientTimeout = 4 * time.Second
	patientShare   = 8
	// handshakeTimeout bounds all of a dial. The cloud may let a tunnel wait for a part of it.
	handshakeTimeout = 10 * time.Second
	// maxRetryAfter bounds how long the cloud can send a tunnel away.
	maxRetryAfter = 5 * time.Minute
	// dialsPerSecond and dialBurst spread the dials of a node that has many targets: each is a TLS handshake, of about
	// 6 KiB, on a link that may be weak.
	dialsPerSecond, dialBurst = 50, 10
	// unsentBytes may wait in the kernel, where nothing can be dropped any more.
	unsentBytes = 32 << 10
)

// NetDial makes a network connection, as net.Dialer.DialContext does.
type NetDial func(ctx context.Context, network, address string) (net.Conn, error)

// dialer connects one tunnel.
type dialer interface {
	dial(ctx context.Context, key tunnel.StreamKey) (*tunnel.Conn, error)
}

// errUnanswered is a dial that nobody answered, not even with a refusal: there is no way to the cloud, or its machine is
// gone.
var errUnanswered = errors.New("no answer")

// refusedError is an HTTP answer other than the upgrade.
type refusedError struct {
	status     int
	retryAfter time.Duration
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("the cloud answered %d %s", e.status, http.StatusText(e.status))
}

// refusal is the error of such an answer.
func refusal(resp *http.Response) *refusedError {
	d := retryAfter(resp.Header, time.Now())
	if d > 0 {
		d += rand.N(time.Second) // the header counts whole seconds: all of one would come at once
	}
	return &refusedError{status: resp.StatusCode, retryAfter: d}
}

// webSocketDialer is the dialer of protocol "websocket". All tunnels share it.
type webSocketDialer struct {
	server  string
	tls     func() (*tls.Config, error)
	timing  tunnel.Timing
	connect NetDial
	pace    *rate.Limiter
	pool    sync.Pool // of write buffers
}

func (d *webSocketDialer) dial(ctx context.Context, key tunnel.StreamKey) (*tunnel.Conn, error) {
	if err := d.pace.Wait(ctx); err != nil {
		return nil, err
	}
	config, err := d.tls()
	if err != nil {
		return nil, err
	}
	ws := websocket.Dialer{
		NetDialContext:   d.connect,
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
		return nil, refusal(resp)
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

// tunnelDial is dial for tunnels: it makes connections that end when the cloud is dead, and that keep what waits where it
// can be dropped.
func tunnelDial(dial NetDial, unsent int) NetDial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		timeout := connectTimeout
		if rand.N(patientShare) == 0 {
			timeout = patientTimeout
		}
		connecting, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		c, err := dial(connecting, network, address)
		if err != nil {
			if ctx.Err() == nil && unanswered(err) {
				err = fmt.Errorf("%w: %w", errUnanswered, err)
			}
			return nil, err
		}
		if err := tunnel.TuneSocket(c, tunnel.SocketOptions{
			UserTimeout: tunnel.UserTimeout, MaxRTO: tunnel.MaxRTO, UnsentBytes: unsent, NoKeepAlive: true,
		}); err != nil {
			klog.V(2).InfoS("Tunnel's socket is not tuned", "err", err)
		}
		return tunnel.Watch(c), nil
	}
}

// unanswered says whether a failed connect may have reached nobody.
func unanswered(err error) bool {
	for _, no := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, no) {
			return true
		}
	}
	var dns *net.DNSError
	var failed net.Error
	return errors.As(err, &dns) && !dns.IsNotFound || errors.As(err, &failed) && failed.Timeout()
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
			return nodeCertificate(cfg)
		},
	}, nil
}

func nodeCertificate(cfg *v1alpha1.EdgeDataStream) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading node certificate: %w", err)
	}
	return &cert, nil
}
