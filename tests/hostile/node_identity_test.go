// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/pki"
)

// changed is the honest node's certificate with something wrong with it.
func changed(change func(*x509.Certificate)) *x509.Certificate {
	t := pki.Node(honestNode)
	change(t)
	return t
}

// Nobody gets the honest node's tunnel who is not that node, whatever he shows.
func TestForeignCertificates(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	other, err := pki.NewAuthority("hostile") // of the same name
	must(t, err)
	for name, test := range map[string]struct {
		certs []tls.Certificate
		code  int // of the answer; 0: the handshake fails
	}{
		"no certificate": {nil, 0},
		"other CA":       {[]tls.Certificate{issue(t, other, pki.Node(honestNode))}, 0},
		"expired":        {[]tls.Certificate{r.issue(changed(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }))}, 0},
		"not yet valid": {[]tls.Certificate{r.issue(changed(func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(time.Hour)
			c.NotAfter = c.NotBefore.Add(time.Hour)
		}))}, 0},
		"usage of a server":            {[]tls.Certificate{r.issue(changed(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }))}, 0},
		"any usage":                    {[]tls.Certificate{r.issue(changed(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }))}, 403},
		"no usage":                     {[]tls.Certificate{r.issue(changed(func(c *x509.Certificate) { c.ExtKeyUsage = nil }))}, 403},
		"another node":                 {[]tls.Certificate{r.issue(pki.Node(evilNode))}, 403},
		"a user":                       {[]tls.Certificate{r.issue(pki.Client("system:admin", "system:masters"))}, 403},
		"a node's name in a group":     {[]tls.Certificate{r.issue(pki.Client("system:node:"+honestNode, "system:masters"))}, 403},
		"another group too":            {[]tls.Certificate{r.issue(changed(func(c *x509.Certificate) { c.Subject.Organization = []string{"system:nodes", "more"} }))}, 403},
		"a name that is not a node's":  {[]tls.Certificate{r.issue(pki.Node(honestNode + "/default"))}, 403},
		"a CA with the node's name":    {[]tls.Certificate{r.issue(changed(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }))}, 403},
		"self-signed":                  {[]tls.Certificate{selfSigned(t)}, 0},
		"signed by the node's own":     {[]tls.Certificate{signedByNode(t, r)}, 0},
		"the cloud's own, as a client": {[]tls.Certificate{r.issue(pki.Server("system:node:" + honestNode))}, 0},
	} {
		r.attack(name, func(t *testing.T) {
			ws, resp, err := r.dialAs(keyOf(honestNode, "honest"), test.certs...)
			switch {
			case err == nil:
				ws.Close()
				t.Fatal("the tunnel was accepted")
			case test.code == 0 && resp != nil:
				t.Errorf("%s, want the handshake to fail", resp.Status)
			case test.code != 0 && !errors.Is(err, websocket.ErrBadHandshake):
				t.Errorf("%v, want code %d", err, test.code)
			case test.code != 0:
				defer resp.Body.Close()
				var s metav1.Status
				if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || int(s.Code) != test.code || s.Message == "" {
					t.Errorf("%v in %+v, want a metav1.Status of code %d", err, s, test.code)
				}
			}
		})
	}
	if n := r.metric(t, `datastream_cloud_refused_tunnels_total{reason="certificate"}`) + r.metric(t, `datastream_cloud_refused_tunnels_total{reason="node"}`); n != 8 {
		t.Errorf("%v refusals were counted, want 8", n)
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	self, err := pki.NewAuthority("system:node:" + honestNode)
	must(t, err)
	return issue(t, self, pki.Node(honestNode))
}

// signedByNode is a certificate that a node has signed with its own, which a CA that does not look would take.
func signedByNode(t *testing.T, r *rig) tls.Certificate {
	t.Helper()
	pair, err := r.ca.Issue(pki.Node(evilNode))
	must(t, err)
	node, err := pki.ParseAuthority(pair)
	must(t, err)
	cert := issue(t, node, pki.Node(honestNode))
	cert.Certificate = append(cert.Certificate, pair.Certificate)
	return cert
}

// A node gets no other tunnels than its own, however the path is written.
func TestForgedPaths(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	e := newEvil(r)
	const base = "/v1/kubeedge/datastream/"
	others := honestNode + "/default/honest/camera"
	for _, path := range []string{
		base + others,
		base + evilNode + "/../" + others,
		base + evilNode + "/%2e%2e/" + others,
		base + evilNode + "/%2E%2E/" + others,
		base + evilNode + "/%252e%252e/" + others,
		base + evilNode + "%2f..%2f" + others,
		base + evilNode + "%2f%2e%2e%2f" + others,
		base + evilNode + "\\..\\" + others,
		base + evilNode + ";/../" + others,
		base + evilNode + "/default/evil/../../../" + others,
		base + evilNode + "/default/evil/camera/../../../../" + others,
		base + evilNode + "/default/honest/camera",
		base + evilNode + "/default/evil/camera/more",
		base + evilNode + "/default/evil/camera%00",
		base + evilNode + "/default/evil//camera",
		base + evilNode + "//default/evil/camera",
		base + "/" + evilNode + "/default/evil/camera",
		"//v1/kubeedge/datastream/" + others,
		base + "./" + others,
		base + "%2e/" + others,
		base + strings.ToUpper(honestNode) + "/default/honest/camera",
		base + honestNode + "%20/default/honest/camera",
		base + honestNode + ".//default/honest/camera",
		base + evilNode + "," + others,
		base + evilNode + "?/../" + others,
		base + "?node=" + evilNode + "&/" + others,
		"https://" + honestNode + base + others,
		base + strings.Repeat("a/", 2000) + others,
	} {
		name := path
		if len(name) > 80 {
			name = name[:80]
		}
		r.Run(strings.ReplaceAll(name, "/", "|"), func(t *testing.T) {
			code, location := e.upgrade(t, path)
			clean := code == http.StatusTemporaryRedirect && strings.HasPrefix(location, base) // where the node may ask again
			if !clean && (code < 400 || code >= 500) {
				t.Errorf("%q is answered with %d %s", path, code, location)
			}
		})
	}
	r.honest.intact(t)
	eventually(t, "the honest stream to be well", func() bool { return r.state(t, honestNode, "honest").State == string(tunnel.Streaming) })
	if n := r.metric(t, "datastream_cloud_tunnels"); n != 1 {
		t.Errorf("%v tunnels, want the honest one", n)
	}
}

// upgrade asks for a tunnel with a request line as it stands, and returns the answer.
func (e *evil) upgrade(t *testing.T, path string) (code int, location string) {
	t.Helper()
	conn := e.raw(t)
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: cloud\r\nX-Forwarded-For: 127.0.0.1\r\nX-Node-Name: %s\r\nNodeName: %[2]s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n\r\n", path, honestNode, tunnel.Subprotocol)
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Location")
}

// A hello that is not the node's or the target's own is refused.
func TestLyingHello(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	e := newEvil(r)
	for name, hello := range map[string]*tunnel.Hello{
		"another node":         {Node: honestNode, RuleUID: uidOf("honest"), Epoch: 1 << 63},
		"another rule":         {Node: evilNode, RuleUID: uidOf("honest"), Epoch: 1 << 63},
		"no rule":              {Node: evilNode, Epoch: 1 << 63},
		"an older rule":        {Node: evilNode, RuleUID: "uid-of-long-ago", Epoch: 1 << 63},
		"no epoch":             {Node: evilNode, RuleUID: uidOf(evilRule)},
		"no node":              {RuleUID: uidOf(evilRule), Epoch: 1 << 63},
		"a node of much text":  {Node: strings.Repeat("n", 60<<10), RuleUID: uidOf(evilRule), Epoch: 1 << 63},
		"a node with new line": {Node: "evil-9\n" + honestNode, RuleUID: uidOf(evilRule), Epoch: 1 << 63},
	} {
		r.attack(name, func(t *testing.T) {
			et := e.dial(t)
			must(t, et.conn.WriteMessage(hello))
			et.closed()
		})
	}
	if s := r.state(t, evilNode, evilRule); s.State != "away" {
		t.Errorf("the stream is %s", s.State)
	}
}

// Two ends with a node's certificate take its tunnel away from each other. It costs nobody else anything, and leaves one of them.
func TestEpochWar(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	e := newEvil(r)
	r.attack("war", func(t *testing.T) {
		var last *evilTunnel
		for range count(40, 400) {
			next := e.open(t) // and no more: its end would be lost behind what the cloud has not read
			if last != nil {
				if code := last.closed(); code != tunnel.CloseFenced {
					t.Fatalf("the older tunnel is closed with %d", code)
				}
			}
			last = next
		}
		// The highest epoch there is wins as long as it is connected, and no longer.
		top := e.dial(t)
		must(t, top.conn.WriteMessage(&tunnel.Hello{Node: evilNode, RuleUID: uidOf(evilRule), Epoch: 1<<64 - 1}))
		last.closed()
		loser := e.open(t)
		if code := loser.closed(); code != tunnel.CloseFenced {
			t.Errorf("the loser is closed with %d", code)
		}
		top.ws.Close()
		eventually(t, "the end of the highest epoch", func() bool { return r.state(t, evilNode, evilRule).State == "away" })
		e.open(t)
		eventually(t, "a tunnel of the node's", func() bool { return r.state(t, evilNode, evilRule).State == "idle" })
		eventually(t, "one tunnel of each node", func() bool { return r.metric(t, "datastream_cloud_tunnels") == 2 })
	})
}
