// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Requests that two parsers could read in two ways are refused, or read in the one way that RFC 9112 has for them.
func TestSmuggling(t *testing.T) {
	r := newRig(t, nil)
	r.assign(decoyNode, decoyRule)
	const body = `{"action":"start"}`
	post := "POST " + decoyPath + " HTTP/1.1\r\nHost: localhost\r\n"
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	next := "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	r.raid("requests", func(t *testing.T) {
		for name, c := range map[string]struct {
			text string
			want []int
		}{
			"plain":                           {post + "Content-Length: 18\r\n\r\n" + body + next, []int{200, 200}},
			"two lengths":                     {post + "Content-Length: 18\r\nContent-Length: 0\r\n\r\n" + body + next, []int{400}},
			"two lengths in one":              {post + "Content-Length: 18, 0\r\n\r\n" + body + next, []int{400}},
			"length with a sign":              {post + "Content-Length: +18\r\n\r\n" + body + next, []int{400}},
			"negative length":                 {post + "Content-Length: -1\r\n\r\n" + body + next, []int{400}},
			"length beyond all":               {post + "Content-Length: 99999999999999999999\r\n\r\n" + body + next, []int{400}},
			"chunks and a length":             {post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + next, []int{200, 200}}, // RFC 9112, 6.3: chunks count
			"a length and chunks":             {post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + chunked + next, []int{200, 200}},
			"unknown coding":                  {post + "Transfer-Encoding: xchunked\r\n\r\n" + chunked + next, []int{501}},
			"two codings":                     {post + "Transfer-Encoding: chunked, identity\r\n\r\n" + chunked + next, []int{501}},
			"coding twice":                    {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + next, []int{501}},
			"space before the colon":          {post + "Content-Length : 18\r\n\r\n" + body + next, []int{400}},
			"chunk size with a sign":          {post + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + body + next, []int{400}},
			"huge chunk":                      {post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\n" + body + next, []int{400}},
			"no host":                         {"GET /healthz HTTP/1.1\r\n\r\n", []int{400}},
			"two hosts":                       {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", []int{400}},
			"no such version":                 {"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n", []int{505}},
			"HTTP/2 without asking":           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{404}},
			"no HTTP":                         {"\x00\x01\x02\r\n\r\n", []int{400}},
			"a control character in a name":   {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX\x00: y\r\n\r\n", []int{400}},
			"a control character in a value":  {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: \x00\r\n\r\n", []int{400}},
			"a line without a colon":          {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX\r\n\r\n", []int{400}},
			"an upgrade to something else":    {"GET " + decoyPath + "?format=mse HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + next, []int{426, 200}},
			"a tunnel":                        {"CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n" + next, []int{403, 200}},
			"everything":                      {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n" + next, []int{404, 200}},
			"a trace":                         {"TRACE /healthz HTTP/1.1\r\nHost: localhost\r\nCookie: secret\r\n\r\n" + next, []int{405, 200}},
			"a body that is never sent":       {post + "Content-Length: 1000000000\r\n\r\n", []int{413}},
			"chunks without end":              {post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+strings.Repeat(" ", 1<<10)+"\r\n", 4096), []int{413}},
			"a name as long as it gets":       {"GET /" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{431}},
			"headers without end":             {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: y\r\n", 1<<18), []int{431}},
			"a header without end":            {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("y", 1<<22), []int{431}},
			"an expectation that nobody has":  {post + "Content-Length: 18\r\nExpect: the-best\r\n\r\n" + body, []int{417}},
			"very many at a time":             {strings.Repeat("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", count(1000, 20_000)) + next, slices.Repeat([]int{200}, count(1000, 20_000)+1)},
			"control in a viewer's name":      {"GET " + honestPath + "%0d%0aX:%20y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", []int{404}},
			"requests behind one that stays":  {"GET " + decoyPath + "?format=none HTTP/1.1\r\nHost: localhost\r\n\r\n" + next, []int{400, 200}},
			"an answer where a question goes": {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", []int{400}},
		} {
			got := r.answers(t, c.text, len(c.want)+1)
			if !slices.Equal(got, c.want) {
				const few = 10
				t.Errorf("%s: %d answers %v, want %d %v", name, len(got), got[:min(len(got), few)], len(c.want), c.want[:min(len(c.want), few)])
			}
		}
	})
	r.raid("truncated", func(t *testing.T) {
		whole := post + "Content-Length: 18\r\n\r\n" + body
		for i := range len(whole) {
			conn := r.knock(t)
			_, err := io.WriteString(conn, whole[:i])
			must(t, err)
			conn.Close()
		}
	})
}

// No spelling of a path leads out of what there is, or to another site.
func TestForgedURLs(t *testing.T) {
	r := newRig(t, nil)
	targets := []string{
		"//evil.example", "//evil.example/%2f..", "///evil.example", `/\evil.example`, "/%5cevil.example", "/%2f/evil.example", "/.//evil.example",
		"/assets", "/assets/", "/assets//", "/assets/.", "/assets/..", "/assets/../", "/assets/index.html", "/assets/../index.html", "/assets/%2e%2e/index.html",
		"/assets/..%2findex.html", "/assets/..%5cindex.html", "/assets/%2e%2e%2f%2e%2e%2fetc/passwd", "/assets/....//etc/passwd", "/assets/%c0%ae%c0%ae/etc/passwd",
		"/assets/%252e%252e/index.html", "/assets/player.js/", "/assets/player.js%00", "/assets/player.js/../../metrics", "/assets/%00", "/assets/player.js%2f..",
		"/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "/./metrics", "/metrics/", "/metrics/.", "/metrics%00", "/METRICS",
		"/node/../metrics", "/node/" + honestNode + "/../../metrics", "/node/" + honestNode + "/honest/../../../metrics", "/node//honest/camera", "/node/" + honestNode + "//camera",
		"/node/%2e%2e/honest/camera", "/node/" + honestNode + "/honest/%2e%2e/camera", "/node/" + honestNode + "/honest/camera/", "/node/" + honestNode + "/honest/camera%00",
		"/node/" + honestNode + "/honest/Camera", "/node/" + honestNode + "/honest%20/camera", "/namespaces//node/" + honestNode + "/honest/camera",
		"/namespaces/default/../default/node/" + honestNode + "/honest/camera", "/namespaces/../node/" + honestNode + "/honest/camera", "/namespaces/kube-system/node/" + honestNode + "/honest/camera",
		"/debug/pprof/../../metrics", "/debug/vars", "/.git/config", "/v1/kubeedge/datastream/" + honestNode + "/default/honest/camera",
		"http://evil.example/metrics", "http://evil.example@127.0.0.1/", "https://evil.example/", "ftp://evil.example/", "http://evil.example" + honestPath, "*", "node/x", "",
	}
	r.raid("paths", func(t *testing.T) {
		for _, target := range targets {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				conn := r.knock(t)
				_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", method, target)
				must(t, err)
				resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
				if err != nil {
					t.Errorf("%s %q: %v", method, target, err)
					continue
				}
				body, _ := io.ReadAll(resp.Body)
				conn.Close()
				if resp.StatusCode < 400 || resp.Header.Get("Location") != "" || bytes.Contains(body, []byte("root:")) {
					t.Errorf("%s %q: %s, Location %q: %.100s", method, target, resp.Status, resp.Header.Get("Location"), body)
				}
				var s metav1.Status
				if method == http.MethodGet && resp.Header.Get("Content-Type") == "application/json" && (json.Unmarshal(body, &s) != nil || s.Message == "") {
					t.Errorf("%q: no metav1.Status: %.100s", target, body)
				}
			}
		}
	})
}

// Pages of other sites, and those whose site says that it is us, get nothing; ours tell browsers what they may.
func TestForeignPages(t *testing.T) {
	r := newRig(t, nil)
	upgrade := "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	for name, c := range map[string]struct {
		request string
		want    int
	}{
		"rebound name":             {"GET /streams HTTP/1.1\r\nHost: evil.example\r\n", 403},
		"rebound name with a port": {"GET /healthz HTTP/1.1\r\nHost: evil.example:10005\r\n", 403},
		"a name that begins so":    {"GET /streams HTTP/1.1\r\nHost: localhost.evil.example\r\n", 403},
		"an address":               {"GET /streams HTTP/1.1\r\nHost: 127.0.0.1:1\r\n", 200},
		"an IPv6 address":          {"GET /streams HTTP/1.1\r\nHost: [::1]:10005\r\n", 200},
		"our own name":             {"GET /streams HTTP/1.1\r\nHost: LOCALHOST\r\n", 200},
		"a foreign WebSocket":      {"GET " + honestPath + " HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n" + upgrade, 403},
		"a WebSocket of a file":    {"GET " + honestPath + " HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n" + upgrade, 403},
		"a WebSocket of our page":  {"GET " + honestPath + " HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n" + upgrade, 101},
		"foreign control":          {"POST " + honestPath + " HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n", 403},
		"a foreign video element":  {"GET " + honestPath + " HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n", 403},
		"a link":                   {"GET " + honestPath + "?format=state HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", 200},
		"a foreign preflight":      {"OPTIONS " + honestPath + " HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nAccess-Control-Request-Method: GET\r\n", 405},
	} {
		t.Run(name, func(t *testing.T) {
			conn := r.knock(t)
			defer conn.Close()
			_, err := io.WriteString(conn, c.request+"Connection: close\r\n\r\n")
			must(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			must(t, err)
			if resp.StatusCode != c.want {
				t.Errorf("%s, want %d", resp.Status, c.want)
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Access-Control-Allow-Origin": ""} {
				if got := resp.Header.Get(name); got != want && resp.StatusCode != http.StatusSwitchingProtocols {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if policy := resp.Header.Get("Content-Security-Policy"); resp.StatusCode != http.StatusSwitchingProtocols &&
				(!strings.Contains(policy, "frame-ancestors 'self'") || strings.Contains(policy, "unsafe")) {
				t.Errorf("Content-Security-Policy is %q", policy)
			}
		})
	}
	r.honest.intact(t)
}

// WebSocket viewers who say what no viewer says are closed.
func TestHostileWebSockets(t *testing.T) {
	r := newRig(t, nil)
	frame := func(first byte, length uint64, payload []byte) []byte { // masked with zeros (RFC 6455, 5.2)
		b := []byte{first, 0x80 | 127}
		b = binary.BigEndian.AppendUint64(b, length)
		return append(append(b, 0, 0, 0, 0), payload...)
	}
	small := func(first byte, n byte) []byte {
		return append([]byte{first, 0x80 | n, 0, 0, 0, 0}, make([]byte, n)...)
	}
	for name, say := range map[string]func(n int) []byte{
		"a frame of 4 EiB":          func(int) []byte { return frame(0x82, 1<<62, make([]byte, 1<<10)) },
		"a frame of 8 EiB":          func(int) []byte { return frame(0x82, 1<<63, make([]byte, 1<<10)) },
		"a message of 5 KiB":        func(int) []byte { return frame(0x82, 5<<10, make([]byte, 5<<10)) },
		"messages without end":      func(int) []byte { return bytes.Repeat(small(0x82, 100), 100) },
		"fragments without end":     func(n int) []byte { return bytes.Repeat(small(fragment(n), 100), 1) },
		"empty fragments":           func(n int) []byte { return small(fragment(n), 0) },
		"pings without end":         func(int) []byte { return bytes.Repeat(small(0x89, 4), 100) },
		"pongs without end":         func(int) []byte { return bytes.Repeat(small(0x8a, 125), 100) },
		"a frame that is no frame":  func(int) []byte { return []byte{0xff, 0xff, 0xff, 0xff} },
		"a frame without a mask":    func(int) []byte { return []byte{0x81, 2, 'h', 'i'} },
		"a ping of 200 bytes":       func(int) []byte { return frame(0x89, 200, make([]byte, 200)) },
		"text that is no text":      func(int) []byte { return bytes.Repeat([]byte{0x81, 0x81, 0, 0, 0, 0, 0xff}, 1000) },
		"a fragment of nothing":     func(int) []byte { return small(0x80, 4) },
		"half a frame, then no end": func(int) []byte { return make([]byte, 1<<10) },
	} {
		r.raid(name, func(t *testing.T) {
			dialer := websocket.Dialer{HandshakeTimeout: patience, NetDialContext: (&net.Dialer{LocalAddr: attacker}).DialContext}
			ws, resp, err := dialer.DialContext(t.Context(), "ws://"+r.viewers+honestPath, nil)
			must(t, err)
			resp.Body.Close()
			conn := ws.NetConn()
			defer conn.Close()
			closed := make(chan struct{})
			go func() { // what a viewer hears, until it is closed
				defer close(closed)
				_, _ = io.Copy(io.Discard, conn)
			}()
			for i := range 1 << 20 {
				if _, err := conn.Write(say(i)); err != nil {
					break
				}
				select {
				case <-closed:
					return
				default:
				}
			}
			conn.Close()
			<-closed
		})
	}
}

// fragment is the first byte of the frame number n of an endless message.
func fragment(n int) byte {
	if n == 0 {
		return 0x02
	}
	return 0x00
}
