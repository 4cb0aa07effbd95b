// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// FuzzTunnelServer is node edge-2, which tries all requests. It can say which revision it runs itself, within bounds, and
// nothing about another node.
func FuzzTunnelServer(f *testing.F) {
	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
		"Sec-WebSocket-Protocol: " + tunnel.Subprotocol + "\r\n"
	for _, path := range []string{
		"/v1/kubeedge/datastream/edge-2/revision", "/v1/kubeedge/datastream/edge-1/revision", "/v1/kubeedge/datastream/edge-2%2f..%2fedge-1/revision",
		"/v1/kubeedge/datastream/edge-2/../edge-1/revision", "/v1/kubeedge/datastream//edge-1/revision", "/v1/kubeedge/datastream/EDGE-1/revision",
		"/v1/kubeedge/datastream/edge-1%00/revision",
	} {
		f.Add("POST", path, "Content-Type: application/json\r\n", `{"revision":"0123456789abcdef"}`)
	}
	for _, path := range []string{"edge-2/default/r/p", "edge-1/default/r/p", "edge-2/default/r/%2e%2e/p", "edge-2/../edge-1/default/r/p", "edge-1/default/r//p"} {
		f.Add("GET", "/v1/kubeedge/datastream/"+path, upgrade, "")
	}
	f.Add("POST", "/v1/kubeedge/datastream/edge-2/revision", "", `{"revision":"`+strings.Repeat("x", 5000)+`"}`)
	f.Add("POST", "/v1/kubeedge/datastream/edge-2/revision", "", `{"revision":7}`)

	leaf := &x509.Certificate{
		Subject: pkix.Name{
			CommonName: nodeCommonNamePrefix + "edge-2", Organization: []string{nodeOrganization},
			Names: []pkix.AttributeTypeAndValue{{Type: commonNameOID, Value: nodeCommonNamePrefix + "edge-2"}},
		},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotAfter: time.Now().Add(24 * time.Hour),
	}
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
	var said []assignment.Report
	server := NewServer(v1alpha1.NewDefaultCloudDataStream(), func(r assignment.Report) { said = append(said, r) })
	for _, node := range []string{"edge-1", "edge-2"} {
		server.streams.apply(assignment.NodeDirectory{Node: node, Entries: []assignment.Entry{{Namespace: "default", Rule: "r", Path: "/p", RuleUID: "uid"}}})
	}
	door := server.tunnels.container()
	f.Fuzz(func(t *testing.T, method, url, fields, body string) {
		raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: cloud\r\n%sContent-Length: %d\r\n\r\n%s", method, url, fields, len(body), body)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return
		}
		r.TLS = state
		said = nil
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		for _, report := range said {
			if report.Node != "edge-2" || len(report.Revision) > 4<<10 || report.Tunnels != 0 {
				t.Errorf("%s %s: it is said that %+v", method, url, report)
			}
		}
		// Whatever it is, nobody else's tunnel is opened: an upgrade fails here only where there is no connection to take over.
		if key, err := tunnel.ParsePath(r.URL.Path); err == nil && key.Node != "edge-2" && w.Code < http.StatusBadRequest {
			t.Errorf("%s %s: %d", method, url, w.Code)
		}
		if w.Code == http.StatusNoContent && len(said) != 1 || w.Code != http.StatusNoContent && len(said) > 0 {
			t.Errorf("%s %s: %d, and %d reports", method, url, w.Code, len(said))
		}
		if w.Body.Len() > 0 && strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: %s", method, url, w.Body)
		}
		if w.Body.Len() > 8<<10 {
			t.Errorf("%s %s: an answer of %d bytes", method, url, w.Body.Len())
		}
	})
}
