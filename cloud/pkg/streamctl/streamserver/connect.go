// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
)

// ServerVariable is the environment variable that names the StreamServer where no flag does.
const ServerVariable = "KUBECTL_STREAMS_SERVER"

// connectTimeout bounds one try to reach the StreamServer.
const connectTimeout = 10 * time.Second

// Options say where the StreamServer is.
type Options struct {
	// Server is the URL of the StreamServer. Without it a port-forward goes to cloudcore's pod.
	Server string
	// CAFile is the PEM of the CA that has signed the StreamServer's certificate, instead of the system's.
	CAFile string
	// ServerName is the name in that certificate, if it is not the host of Server.
	ServerName string
	// Namespace, Selector and Port find cloudcore's pod, and the StreamServer in it.
	Namespace, Selector string
	Port                int
}

// AddFlags adds a flag for each option, with its default.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Server, "stream-server", os.Getenv(ServerVariable),
		"URL of the StreamServer; default $"+ServerVariable+", or else a port-forward to cloudcore's pod")
	flags.StringVar(&o.CAFile, "stream-ca", "", "PEM file of the CA of the StreamServer's certificate, instead of the system's")
	flags.StringVar(&o.ServerName, "stream-server-name", "", "the name in the StreamServer's certificate, if it is not that of its URL")
	flags.StringVar(&o.Namespace, "cloudcore-namespace", "kubeedge", "namespace of cloudcore's pod")
	flags.StringVar(&o.Selector, "cloudcore-selector", "k8s-app=kubeedge,kubeedge=cloudcore", "labels of cloudcore's pod")
	flags.IntVar(&o.Port, "cloudcore-port", 10005, "port of the StreamServer in cloudcore's pod")
}

// Codes of a ConnectError.
const (
	Unreachable      = "StreamServerUnreachable"
	Untrusted        = "StreamServerUntrusted"
	NoRightToForward = "NoRightToForward"
)

// ConnectError is why the StreamServer cannot be reached.
type ConnectError struct {
	Code string
	Next string // what to do
	Err  error
}

// Error implements error.
func (e *ConnectError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// Connect reaches the StreamServer with the credentials of the API server's config. The error is a *ConnectError. Whether the
// server is ready is not asked.
func Connect(ctx context.Context, api *rest.Config, o Options) (*Client, error) {
	c := &Client{close: func() {}}
	if o.Server != "" {
		base, err := url.Parse(o.Server)
		if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
			return nil, &ConnectError{Unreachable, "kubectl streams doctor --stream-server https://HOST:10005",
				fmt.Errorf("--stream-server %q is no URL such as https://cloud.example.com:10005", o.Server)}
		}
		c.base = &url.URL{Scheme: base.Scheme, Host: base.Host}
	} else {
		address, end, err := forward(ctx, api, o)
		if err != nil {
			return nil, err
		}
		c.base, c.close, c.forwarded = &url.URL{Scheme: "http", Host: address}, end, true
	}
	if err := c.connect(ctx, api, o); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// connect chooses how to speak to the server at c.base, and tries it.
func (c *Client) connect(ctx context.Context, api *rest.Config, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	speaksTLS, err := c.hello(ctx, api, o)
	if c.forwarded && speaksTLS {
		c.base.Scheme = "https"
		_, err = c.hello(ctx, api, o)
	}
	if err != nil {
		return c.problem(err, o)
	}
	c.http, err = c.client(api, o, true)
	if err != nil {
		return c.problem(err, o)
	}
	return nil
}

// hello asks for something that needs no right, without credentials: nobody knows yet who answers.
func (c *Client) hello(ctx context.Context, api *rest.Config, o Options) (speaksTLS bool, err error) {
	client, err := c.client(api, o, false)
	if err != nil {
		return false, err
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.JoinPath("/readyz").String(), nil)
	if err != nil {
		return false, fmt.Errorf("asking for /readyz: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	resp.Body.Close() // it may have no end: a port-forward does not always tell
	switch {
	case resp.StatusCode == http.StatusBadRequest && c.base.Scheme == "http": // as servers written in Go do
		return true, errors.New("the StreamServer seems to serve TLS: the URL must begin with https://")
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable:
		return false, fmt.Errorf("what answers there is no StreamServer: /readyz is %s", resp.Status)
	}
	return false, nil
}

// client makes an HTTP client, with the credentials of the API server's config or without.
func (c *Client) client(api *rest.Config, o Options, credentials bool) (*http.Client, error) {
	own := &rest.Config{Host: c.base.String(), UserAgent: "kubectl-streams"}
	encrypted := c.base.Scheme == "https"
	if encrypted {
		own.TLSClientConfig = rest.TLSClientConfig{CAFile: o.CAFile, ServerName: o.ServerName}
	}
	if credentials {
		c.credential = c.present(own, api, encrypted)
	}
	transport, err := rest.TransportFor(own)
	if err != nil {
		return nil, fmt.Errorf("making a client of the StreamServer: %w", err)
	}
	return &http.Client{
		Transport: transport,
		// A redirect would take the token elsewhere, and the StreamServer has none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// present puts the credentials of the API server's config into own, as far as they may be sent there.
func (c *Client) present(own, api *rest.Config, encrypted bool) Credential {
	if api.BearerToken != "" || api.BearerTokenFile != "" || api.ExecProvider != nil || api.AuthProvider != nil {
		if !encrypted && !loopback(c.base.Hostname()) {
			return CredentialWithheld
		}
		own.BearerToken, own.BearerTokenFile = api.BearerToken, api.BearerTokenFile
		own.ExecProvider, own.AuthProvider, own.AuthConfigPersister = api.ExecProvider, api.AuthProvider, api.AuthConfigPersister
		return CredentialToken
	}
	if api.CertFile == "" && len(api.CertData) == 0 {
		return CredentialNone
	}
	if encrypted {
		own.CertFile, own.CertData, own.KeyFile, own.KeyData = api.CertFile, api.CertData, api.KeyFile, api.KeyData
	}
	return CredentialCertificate
}

func loopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// problem says what to do about an error of the connection.
func (c *Client) problem(err error, o Options) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		next := "kubectl streams doctor --stream-ca FILE --stream-server " + c.Address()
		if c.forwarded {
			next = "kubectl streams doctor --stream-ca FILE --stream-server-name NAME"
		}
		return &ConnectError{Untrusted, next, fmt.Errorf("the certificate of the StreamServer at %s is not trusted: %w", c.base.Host, err)}
	}
	next := "curl " + c.base.JoinPath("/readyz").String()
	where := "at " + c.base.Host
	if c.forwarded {
		next = fmt.Sprintf("kubectl -n %s logs --selector=%s --tail=-1 | grep -i datastream", o.Namespace, o.Selector)
		where = fmt.Sprintf("at port %d of cloudcore's pod", o.Port)
	}
	return &ConnectError{Unreachable, next, fmt.Errorf("no StreamServer %s: %w", where, err)}
}
