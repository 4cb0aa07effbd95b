// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/harness"
	"github.com/kubeedge/datastream/tests/ports"
)

// Requests that cannot be served say which part is wrong.
func TestBadRequests(t *testing.T) {
	stream := applyRule(t, "door", startCamera(t, camera.Config{}).URL())
	waitState(t, stream, "idle")
	base := "http://" + cluster.Viewers
	for _, c := range []struct {
		name, method, url, body string
		code                    int
		kind, message           string
	}{
		{"node", "GET", base + "/node/edge-9/door/camera", "", 404, "node", "edge-9"},
		{"rule", "GET", base + "/node/edge-1/window/camera", "", 404, "rule", "window"},
		{"namespace", "GET", base + "/namespaces/other/node/edge-1/door/camera", "", 404, "rule", "other"},
		{"path", "GET", base + "/node/edge-1/door/other/camera", "", 404, "path", "it has /camera"},
		{"no path", "GET", base + "/node/edge-1/door", "", 404, "path", "it has /camera"},
		{"only a node", "GET", base + "/node/edge-1", "", 404, "rule", ""},
		{"control of an unknown path", "POST", base + "/node/edge-1/door/x", `{"action":"start"}`, 404, "path", ""},
		{"format", "GET", stream + "?format=avi", "", 400, "", "mp4"},
		{"action", "POST", stream, `{"action":"explode"}`, 400, "", "explode"},
		{"no action", "POST", stream, `{}`, 400, "", "want start"},
		{"no JSON", "POST", stream, `start`, 400, "", "action"},
		{"unknown field", "POST", stream, `{"action":"start","speed":2}`, 400, "", "speed"},
		// Not so large that the server would hang up on the rest of it.
		{"large body", "POST", stream, `{"action":"` + strings.Repeat("x", 32<<10) + `"}`, 413, "", ""},
		{"mse without upgrade", "GET", stream + "?format=mse", "", 426, "", "WebSocket"},
		{"method", "DELETE", stream, "", 405, "", ""},
		{"no such URL", "GET", base + "/nowhere", "", 404, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, body := request(t, c.method, c.url, c.body)
			if code != c.code {
				t.Fatalf("%d %s, want %d", code, body, c.code)
			}
			var s metav1.Status
			if err := json.Unmarshal(body, &s); err != nil || s.Kind != "Status" || int(s.Code) != c.code {
				t.Fatalf("the answer is no metav1.Status: %v in %s", err, body)
			}
			if c.kind != "" && (s.Details == nil || s.Details.Kind != c.kind) {
				t.Errorf("details %+v, want kind %s", s.Details, c.kind)
			}
			if !strings.Contains(s.Message, c.message) {
				t.Errorf("message %q, want %q in it", s.Message, c.message)
			}
		})
	}
}

// What a viewer accepts chooses between page and stream, and never refuses.
func TestAccept(t *testing.T) {
	stream := applyRule(t, "accept", startCamera(t, camera.Config{}).URL())
	for _, c := range []struct{ accept, want string }{
		{"text/html", "text/html; charset=utf-8"},
		{"text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"},
		{"video/mp4", "video/mp4"},
		{"*/*", "video/mp4"},
		{"application/json", "video/mp4"},
		{"", "video/mp4"},
	} {
		req, err := http.NewRequest(http.MethodGet, stream, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.accept != "" {
			req.Header.Set("Accept", c.accept)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != c.want {
			t.Errorf("Accept %q: %s, %s, want %s", c.accept, resp.Status, got, c.want)
		}
	}
}

// A camera that cannot be reached costs a wait, then a reason.
func TestSourceAway(t *testing.T) {
	t.Parallel()
	address, err := ports.Free("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stream := applyRule(t, "away", "rtsp://user:secret@"+address+"/stream")
	code, header, body := request(t, http.MethodGet, stream, "")
	if code != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q: %s", code, header.Get("Retry-After"), body)
	}
	if strings.Contains(string(body), "secret") {
		t.Errorf("the answer holds the camera's password: %s", body)
	}
}

// So does a node that is not connected.
func TestNodeAway(t *testing.T) {
	t.Parallel()
	const absent = "edge-absent"
	stream := applyRuleOn(t, absent, "absent", "rtsp://camera.invalid/stream")
	waitState(t, stream, "away")
	code, header, body := request(t, http.MethodGet, stream, "")
	if code != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(string(body), absent) {
		t.Errorf("%d, Retry-After %q: %s", code, header.Get("Retry-After"), body)
	}
}

// dialTunnel dials a tunnel with the certificates that are given and returns what the server said.
func dialTunnel(t *testing.T, key tunnel.StreamKey, certFile, keyFile string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	pem, err := os.ReadFile(cluster.CA.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AppendCertsFromPEM(pem)
	if certFile != "" {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	d := websocket.Dialer{TLSClientConfig: cfg, Subprotocols: []string{tunnel.Subprotocol}, HandshakeTimeout: patience}
	ws, resp, err := d.DialContext(context.Background(), "wss://"+cluster.Tunnels+key.URLPath(), nil)
	if err == nil {
		t.Cleanup(func() { ws.Close() })
	}
	return ws, resp, err
}

// Tunnels without the node's own certificate are refused, and no stream notices.
func TestForeignTunnels(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	stream := applyRule(t, "foreign", cam.URL())
	v := watch(t, stream, "mp4")
	v.more(1)
	key := tunnel.StreamKey{Node: node, Namespace: "default", Rule: "foreign", Path: "/camera"}

	other, err := harness.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	foreignCert, foreignKey, err := other.Node(node)
	if err != nil {
		t.Fatal(err)
	}
	otherCert, otherKey, err := cluster.CA.Node("edge-2")
	if err != nil {
		t.Fatal(err)
	}
	serverCert, serverKey, err := cluster.CA.Server()
	if err != nil {
		t.Fatal(err)
	}
	ownCert, ownKey, err := cluster.CA.Node(node)
	if err != nil {
		t.Fatal(err)
	}
	unassigned := key
	unassigned.Path = "/other"
	for _, c := range []struct {
		name              string
		key               tunnel.StreamKey
		certFile, keyFile string
		code              int // 0: the TLS handshake fails
	}{
		{"no certificate", key, "", "", 0},
		{"foreign CA", key, foreignCert, foreignKey, 0},
		{"server certificate", key, serverCert, serverKey, 0},
		{"another node", key, otherCert, otherKey, http.StatusForbidden},
		{"target that is not assigned", unassigned, ownCert, ownKey, http.StatusNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, resp, err := dialTunnel(t, c.key, c.certFile, c.keyFile)
			switch {
			case err == nil:
				t.Fatal("the tunnel was accepted")
			case c.code == 0 && resp != nil:
				t.Errorf("%s, want the TLS handshake to fail", resp.Status)
			case c.code != 0 && (resp == nil || resp.StatusCode != c.code):
				t.Errorf("%v, want code %d", err, c.code)
			}
		})
	}
	v.more(30)
	v.mu.Lock()
	checkOrder(t, "the viewer", v.frames)
	v.mu.Unlock()
}

// A tunnel that does not follow the protocol is closed with a code and a reason; other streams go on.
func TestHostileTunnel(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	v := watch(t, applyRule(t, "bystander", cam.URL()), "ts")
	v.more(1)
	stream := applyRule(t, "hostile", cam.URL())
	waitState(t, stream, "idle")
	key := tunnel.StreamKey{Node: node, Namespace: "default", Rule: "hostile", Path: "/camera"}
	uid := ruleUID(t, "hostile")
	certFile, keyFile, err := cluster.CA.Node(node)
	if err != nil {
		t.Fatal(err)
	}
	hello := &tunnel.Hello{Node: node, RuleUID: uid, Epoch: 1 << 63}
	unit := &media.AccessUnit{Track: 1, Sequence: 1, RandomAccess: true, Payload: []byte{0, 0, 0, 9, 1}}
	for i, c := range []struct {
		name string
		code int
		send func(ws *websocket.Conn, conn *tunnel.Conn) error
	}{
		{"text that is no JSON", websocket.ClosePolicyViolation, func(ws *websocket.Conn, _ *tunnel.Conn) error {
			return ws.WriteMessage(websocket.TextMessage, []byte("hello"))
		}},
		{"frame before hello", websocket.ClosePolicyViolation, func(_ *websocket.Conn, conn *tunnel.Conn) error {
			return conn.WriteUnit(unit)
		}},
		{"frame before tracks", websocket.ClosePolicyViolation, func(_ *websocket.Conn, conn *tunnel.Conn) error {
			return errors.Join(conn.WriteMessage(hello), conn.WriteUnit(unit))
		}},
		{"truncated frame", websocket.ClosePolicyViolation, func(ws *websocket.Conn, conn *tunnel.Conn) error {
			return errors.Join(conn.WriteMessage(hello), ws.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3}))
		}},
		{"oversized frame", websocket.CloseMessageTooBig, func(_ *websocket.Conn, conn *tunnel.Conn) error {
			large := *unit
			large.Payload = make([]byte, 9<<20)
			err := conn.WriteMessage(hello)
			_ = conn.WriteUnit(&large) // the server may close before all is written
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ws, _, err := dialTunnel(t, key, certFile, keyFile)
			if err != nil {
				t.Fatal(err)
			}
			hello.Epoch += uint64(i)
			if err := c.send(ws, tunnel.NewConn(ws, tunnel.DefaultTiming, tunnel.DefaultMaxPayload)); err != nil {
				t.Fatal(err)
			}
			_ = ws.SetReadDeadline(time.Now().Add(patience))
			var closed *websocket.CloseError
			for {
				if _, _, err = ws.NextReader(); err != nil {
					break
				}
			}
			if c.code == websocket.CloseMessageTooBig && !errors.As(err, &closed) {
				return // what was still being written reset the connection before the close frame was read
			}
			if !errors.As(err, &closed) || closed.Code != c.code {
				t.Errorf("%v, want close code %d", err, c.code)
			}
		})
	}
	v.more(30)
	v.mu.Lock()
	checkOrder(t, "the bystander", v.frames)
	v.mu.Unlock()
}

func ruleUID(t *testing.T, name string) string {
	t.Helper()
	rule, err := cluster.Client.StreamrulesV1alpha1().StreamRules("default").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return string(rule.UID)
}
