// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/pki"
)

// Both ends' certificates are replaced, which costs no frame. Then the node's old one is revoked, which cuts its tunnel off: the
// node comes back with the new one, and who watches stays.
func TestRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	old := r.honestPair
	server := r.issueFiles("cloud", pki.Server("cloud"))
	r.issueFiles(honestNode, pki.Node(honestNode))
	r.honest.more(2 * frameRate)
	r.honest.redialled.Store(true)
	r.revoke(old)
	eventually(t, "the end of the old certificate's tunnel", func() bool {
		return r.metric(t, `datastream_cloud_refused_tunnels_total{reason="revoked"}`) == 1
	})
	eventually(t, "the new certificate's tunnel", func() bool { return r.state(t, honestNode, "honest").State == string(tunnel.Streaming) })
	r.honest.more(2 * frameRate)

	conn, err := tls.Dial("tcp", r.tunnels, r.tlsConfig())
	must(t, err)
	defer func() { _ = conn.Close() }()
	if shown := conn.ConnectionState().PeerCertificates[0].Raw; !bytes.Equal(shown, server.Certificate) {
		t.Error("the cloud shows its old certificate")
	}
	stolen, err := tls.X509KeyPair(old.PEM())
	must(t, err)
	if ws, resp, err := r.dialAs(keyOf(honestNode, "honest"), stolen); err == nil {
		ws.Close()
		t.Error("the old certificate is taken")
	} else if resp != nil {
		t.Errorf("the old certificate is answered with %s", resp.Status)
	}
}

// A node that the controller cuts off has no tunnels left, and gets none.
func TestCutOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	e := newEvil(r)
	r.attack("deleted", func(t *testing.T) {
		open, silent := e.open(t), e.dial(t)
		eventually(t, "the tunnel", func() bool { return r.state(t, evilNode, evilRule).State == "idle" })
		r.cloud.Apply(assignment.NodeDirectory{Node: evilNode, Refused: "the Node was deleted", Entries: []assignment.Entry{
			{Namespace: namespace, Rule: evilRule, RuleUID: uidOf(evilRule), Path: targetPath, Problem: "the Node was deleted"},
		}})
		for _, et := range []*evilTunnel{open, silent} {
			if code := et.closed(); code != tunnel.CloseMalformed {
				t.Errorf("closed with %d", code)
			}
		}
		for range 20 {
			ws, resp, err := e.dialAs(e.key, e.cert)
			if err == nil {
				ws.Close()
				t.Fatal("the tunnel was accepted")
			}
			if resp != nil {
				resp.Body.Close()
			}
		}
	})
}
