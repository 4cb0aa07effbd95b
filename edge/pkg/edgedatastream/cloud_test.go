// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/camera"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testNode = "edge-1"
	patience = 30 * time.Second
)

// cloud is a TunnelServer for tests: it accepts the node's tunnels and hands each over as a link.
type cloud struct {
	*httptest.Server
	links     chan *link
	revisions chan string
	// refuse answers that many requests for a tunnel with 503 and a Retry-After of no time.
	refuse atomic.Int32
	// refused is called, if set, with each such answer.
	refused func()

	mutex sync.Mutex // httptest.Server.Close does not wait for handlers of connections that were taken over
	ended bool
	wg    sync.WaitGroup
}

// newCloud starts a cloud and returns a configuration to reach it.
func newCloud(t *testing.T) (*cloud, *v1alpha1.EdgeDataStream) {
	t.Helper()
	dir := t.TempDir()
	ca := newAuthority(t)
	server := ca.issue(t, "cloudcore")
	cfg := v1alpha1.NewDefaultEdgeDataStream()
	cfg.Enable, cfg.NodeName = true, testNode
	cfg.CAFile, cfg.CertFile, cfg.KeyFile = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")
	cfg.StoreFile = filepath.Join(dir, "store", "assignment.json")
	cfg.ReconnectMin, cfg.ReconnectMax = metav1.Duration{Duration: time.Millisecond}, metav1.Duration{Duration: 20 * time.Millisecond}
	cfg.Source.RetryMin, cfg.Source.RetryMax = cfg.ReconnectMin, cfg.ReconnectMax
	// However slow this machine is, nothing is dropped for being late, and no tunnel is replaced for want of acknowledgements.
	cfg.Queue.Age.Duration, cfg.Congestion.Enable = patience, false
	ca.issue(t, "system:node:"+testNode).write(t, cfg.CertFile, cfg.KeyFile)
	writePEM(t, cfg.CAFile, "CERTIFICATE", ca.cert.Raw)

	c := &cloud{links: make(chan *link, 1024), revisions: make(chan string, 64)}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	c.TLS = &tls.Config{Certificates: []tls.Certificate{server.tls()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	c.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that the test's end cuts
	c.StartTLS()
	t.Cleanup(func() {
		c.Close()
		c.mutex.Lock()
		c.ended = true
		c.mutex.Unlock()
		c.wg.Wait()
	})
	cfg.Server = "wss" + strings.TrimPrefix(c.URL, "https")
	return c, cfg
}

func (c *cloud) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == tunnel.RevisionPath(testNode) {
		var rev tunnel.Revision
		if err := json.NewDecoder(r.Body).Decode(&rev); err != nil || r.Method != http.MethodPost {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.revisions <- rev.Revision
		w.WriteHeader(http.StatusNoContent)
		return
	}
	key, err := tunnel.ParsePath(r.URL.Path)
	if err != nil || r.TLS.PeerCertificates[0].Subject.CommonName != "system:node:"+key.Node {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if c.refuse.Add(-1) >= 0 {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
		if c.refused != nil {
			c.refused()
		}
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{tunnel.Subprotocol}}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	l := &link{key: key, conn: tunnel.NewConn(ws, tunnel.DefaultTiming, tunnel.DefaultMaxPayload), in: make(chan any, 1<<16)}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.ended {
		ws.Close()
		return
	}
	c.wg.Go(l.read)
	c.links <- l
}

// accept returns the next tunnel, behind its hello.
func (c *cloud) accept(t *testing.T) *link {
	t.Helper()
	l := receive(t, c.links)
	t.Cleanup(func() { l.conn.Close(tunnel.CloseGoingAway, "") })
	hello, ok := receive(t, l.in).(*tunnel.Hello)
	if !ok {
		t.Fatal("the first message is not a hello")
	}
	l.hello = hello
	return l
}

// link is one tunnel.
type link struct {
	key        tunnel.StreamKey
	conn       *tunnel.Conn
	hello      *tunnel.Hello
	writing    sync.Mutex
	in         chan any // *media.AccessUnit, tunnel.Message and at last the error
	generation uint64
	last       *media.AccessUnit // of units
	tracks     *tunnel.Tracks
}

func (l *link) read() {
	defer close(l.in)
	for {
		m, u, err := l.conn.Read()
		switch {
		case err != nil:
			l.in <- err
			return
		case u != nil:
			l.in <- u
			_ = l.acknowledge() // where it fails, so does the next Read
		default:
			l.in <- m
		}
	}
}

func (l *link) acknowledge() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	bytes, sequence := l.conn.Arrived()
	return l.conn.WriteMessage(&tunnel.Ack{Sequence: sequence, Bytes: bytes, Received: time.Now().UnixMicro()})
}

func (l *link) desire(t *testing.T, a tunnel.Action) {
	t.Helper()
	l.generation++
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.conn.WriteMessage(&tunnel.Desired{Action: a, Generation: l.generation}); err != nil {
		t.Fatal(err)
	}
}

// state waits for a state of the present generation; what comes before it is looked at by the way.
func (l *link) state(t *testing.T, want tunnel.StreamState) *tunnel.State {
	t.Helper()
	for {
		if s, ok := l.next(t).(*tunnel.State); ok && s.State == want && s.Generation == l.generation {
			return s
		}
	}
}

// unit waits for the next unit.
func (l *link) unit(t *testing.T) *media.AccessUnit {
	t.Helper()
	for {
		if u, ok := l.next(t).(*media.AccessUnit); ok {
			return u
		}
	}
}

// video waits for the next unit of video.
func (l *link) video(t *testing.T) *media.AccessUnit {
	t.Helper()
	for {
		u := l.unit(t)
		if media.Find(l.tracks.Tracks, u.Track).Kind == media.Video {
			return u
		}
	}
}

// next returns what comes next, having checked what holds for all of it.
func (l *link) next(t *testing.T) any {
	t.Helper()
	in := receive(t, l.in)
	switch in := in.(type) {
	case error:
		t.Fatalf("the tunnel has ended: %v", in)
	case *tunnel.Tracks:
		l.tracks = in
	case *media.AccessUnit:
		if l.tracks == nil || media.Find(l.tracks.Tracks, in.Track) == nil {
			t.Fatalf("a unit of track %d before its description", in.Track)
		}
		if l.last != nil && in.Sequence <= l.last.Sequence {
			t.Fatalf("sequence %d behind %d", in.Sequence, l.last.Sequence)
		}
		l.last = in
	}
	return in
}

// end waits for the tunnel's end.
func (l *link) end(t *testing.T) error {
	t.Helper()
	for {
		if err, ok := receive(t, l.in).(error); ok {
			return err
		}
	}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came in time")
		panic("unreachable")
	}
}

// runAgent runs an agent up to the test's end or until stop is called.
func runAgent(t *testing.T, cfg *v1alpha1.EdgeDataStream) (a *Agent, stop func()) {
	t.Helper()
	a = NewAgent(cfg, DefaultSources(), NewMetrics(prometheus.NewRegistry()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := receive(t, done); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return a, stop
}

func apply(t *testing.T, a *Agent, targets ...assignment.Target) assignment.Assignment {
	t.Helper()
	as := assignment.New(testNode, targets)
	if err := a.Apply(as); err != nil {
		t.Fatal(err)
	}
	return as
}

func target(url string) assignment.Target {
	return assignment.Target{
		Namespace: "default", Rule: "demo", RuleUID: "uid-1", Path: "/camera-001", Endpoint: "cam", Protocol: "websocket", URL: url,
	}
}

// testCamera can be closed before the test's end.
type testCamera struct {
	*camera.Camera
	close func()
}

func startCamera(t *testing.T, cfg camera.Config) *testCamera {
	t.Helper()
	if cfg.Speed == 0 {
		cfg.Speed = 4
	}
	cam, err := camera.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &testCamera{cam, sync.OnceFunc(cam.Close)}
	t.Cleanup(c.close)
	return c
}

func loadClip(t *testing.T, name string) *camera.Clip {
	t.Helper()
	clip, err := camera.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return clip
}

// startStream makes a running stream of one camera.
func startStream(t *testing.T, cfg camera.Config) (*cloud, *testCamera, *link) {
	t.Helper()
	cam := startCamera(t, cfg)
	c, edge := newCloud(t)
	a, _ := runAgent(t, edge)
	apply(t, a, target(cam.URL()))
	l := c.accept(t)
	l.desire(t, tunnel.Start)
	l.state(t, tunnel.Streaming)
	return c, cam, l
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

type identity struct {
	raw []byte
	key *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	raw := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}, nil, key, key)
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) issue(t *testing.T, name string) *identity {
	t.Helper()
	key := newKey(t)
	return &identity{key: key, raw: sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, a.cert, key, a.key)}
}

func (i *identity) tls() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{i.raw}, PrivateKey: i.key}
}

func (i *identity) write(t *testing.T, certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", i.raw)
	writePEM(t, keyFile, "EC PRIVATE KEY", der)
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
	t.Helper()
	if parent == nil {
		parent = template
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
