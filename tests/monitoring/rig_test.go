// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/harness"
	"github.com/kubeedge/datastream/tests/poll"
)

// startCamera starts a camera that ends with the test.
func startCamera(t *testing.T, cfg camera.Config) *camera.Camera {
	t.Helper()
	c, err := camera.Start(cfg)
	if err != nil {
		t.Fatalf("starting camera: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// applyRule makes a rule with one target on a node, and its endpoint. It returns the stream's URL.
func applyRule(t *testing.T, name, node, camera string) string {
	t.Helper()
	ctx, api := context.Background(), cluster.Client.StreamrulesV1alpha1()
	endpoint := &v1alpha1.StreamRuleEndpoint{ObjectMeta: metav1.ObjectMeta{Name: name}}
	endpoint.Spec.URL = camera
	rule := &v1alpha1.StreamRule{ObjectMeta: metav1.ObjectMeta{Name: name}}
	rule.Spec.Targets = []v1alpha1.StreamTarget{{
		EndpointRef: name, TargetResource: v1alpha1.TargetResource{NodeName: node, Path: "/camera"},
	}}
	if err := errors.Join(harness.ApplyEndpoint(ctx, cluster.Client, endpoint), harness.ApplyRule(ctx, cluster.Client, rule)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = api.StreamRules("default").Delete(ctx, name, metav1.DeleteOptions{})
		_ = api.StreamRuleEndpoints("default").Delete(ctx, name, metav1.DeleteOptions{})
	})
	stream := "http://" + cluster.Viewers + "/node/" + node + "/" + name + "/camera"
	eventually(t, "the rule to reach the cloud", func() bool {
		code, _ := get(t, stream+"?format=state")
		return code == http.StatusOK
	})
	return stream
}

// eventually asks again until ok; it is for what nothing signals from outside, such as the answer to a request.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	poll.Until(t, patience, what, ok)
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return resp.StatusCode, string(data)
}

// audience is viewers who come and stay until the test ends. Each comes again when it is let go.
type audience struct {
	ctx context.Context
	all sync.WaitGroup
}

func newAudience(t *testing.T) *audience {
	ctx, cancel := context.WithCancel(context.Background())
	a := &audience{ctx: ctx}
	t.Cleanup(func() {
		cancel()
		a.all.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	return a
}

// watch adds viewers of a stream.
func (a *audience) watch(stream, format string, viewers int) {
	view := a.read
	if format == "mse" {
		view = a.listen
	}
	for range viewers {
		a.stay(func() error { return view(stream + "?format=" + format) })
	}
}

// visit adds viewers who come for five seconds, over and over.
func (a *audience) visit(stream string, viewers int) {
	for range viewers {
		a.stay(func() error {
			ctx, cancel := context.WithTimeout(a.ctx, 5*time.Second)
			defer cancel()
			return a.readWhile(ctx, stream, "")
		})
	}
}

// intrude adds one who comes as a viewer by a name that is not this server's, and as an edge with another node's certificate.
func (a *audience) intrude(t *testing.T, stream string) {
	t.Helper()
	certFile, keyFile, err := cluster.CA.Node("edge-9")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, cluster.CA.CAFile()))
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots}}
	a.stay(func() error {
		conn, resp, err := dialer.DialContext(a.ctx, "wss://"+cluster.Tunnels+"/v1/kubeedge/datastream/"+node+"/default/yard/camera", nil)
		if err == nil {
			conn.Close()
		}
		if resp != nil {
			resp.Body.Close()
		}
		return a.readWhile(a.ctx, stream, "rebound.example.com")
	})
}

// slow adds a viewer who takes only so many bytes a second.
func (a *audience) slow(stream string, rate int) {
	a.stay(func() error { return a.sip(stream, rate) })
}

func (a *audience) stay(view func() error) {
	a.all.Go(func() {
		for a.ctx.Err() == nil {
			_ = view() // whatever it was: a real one would come again, too
			a.pause(time.Second)
		}
	})
}

func (a *audience) pause(d time.Duration) {
	select {
	case <-a.ctx.Done():
	case <-time.After(d):
	}
}

func (a *audience) read(stream string) error { return a.readWhile(a.ctx, stream, "") }

// readWhile reads until ctx ends, by another name of the server if host is not empty.
func (a *audience) readWhile(ctx context.Context, stream, host string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, stream, nil)
	if err != nil {
		return err
	}
	req.Host = cmp.Or(host, req.Host)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func (a *audience) listen(stream string) error {
	conn, resp, err := websocket.DefaultDialer.DialContext(a.ctx, "ws"+strings.TrimPrefix(stream, "http"), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	defer conn.Close()
	defer context.AfterFunc(a.ctx, func() { conn.Close() })()
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return err
		}
	}
}

func (a *audience) sip(stream string, rate int) error {
	u, err := url.Parse(stream)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(a.ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(2048); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET "+u.RequestURI()+" HTTP/1.1\r\nHost: "+u.Host+"\r\n\r\n"); err != nil {
		return err
	}
	for a.ctx.Err() == nil {
		if _, err := io.CopyN(io.Discard, conn, int64(rate/10)); err != nil {
			return err
		}
		a.pause(100 * time.Millisecond)
	}
	return a.ctx.Err()
}
