// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/kubeedge/datastream/cloud/pkg/limit"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// behindSites is what "ok" looks like behind them.
func behindSites(cfg v1alpha1.StreamServer, method, url string, fields ...string) (resp *http.Response, refused []string) {
	s := newSites(&cfg, func(reason string) { refused = append(refused, reason) })
	r := httptest.NewRequest(method, url, nil)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })).ServeHTTP(w, r)
	return w.Result(), refused
}

func TestSites(t *testing.T) {
	const wall = "https://wall.example.com"
	none := v1alpha1.StreamServer{Listen: "127.0.0.1:10005", Authentication: v1alpha1.AuthenticationNone}
	named := none
	named.AllowedOrigins, named.AllowedHosts = []string{wall}, []string{"streams.example.com"}
	exposed := none
	exposed.Listen = "0.0.0.0:10005"
	kubernetes := v1alpha1.StreamServer{Listen: "127.0.0.1:10005", Authentication: v1alpha1.AuthenticationKubernetes, CertFile: "x"}
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket"}
	for _, c := range []struct {
		name        string
		cfg         v1alpha1.StreamServer
		method, url string
		fields      []string
		code        int
		refused     string
		want        map[string]string // headers
	}{
		{"nothing special", none, "GET", "http://localhost/", nil, 200, "", map[string]string{
			"Vary": "", "Strict-Transport-Security": "", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
		}},
		{"TLS", kubernetes, "GET", "http://any.example.com/", nil, 200, "", map[string]string{"Strict-Transport-Security": "max-age=31536000"}},
		{"a foreign name", none, "GET", "http://evil.example/", nil, 403, "host", nil},
		{"any name of an address that is not the loopback", exposed, "GET", "http://any.example.com/", nil, 200, "", nil},
		{"a named name", named, "GET", "http://Streams.Example.com:80/", nil, 200, "", nil},
		{"a page of a named site", named, "GET", "http://localhost/", []string{"Origin: " + wall, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"}, 200, "", map[string]string{
			"Access-Control-Allow-Origin": wall, "Access-Control-Allow-Credentials": "", "Vary": "Origin", "Access-Control-Expose-Headers": "Retry-After",
			"Content-Security-Policy": "default-src 'none'; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self' " + wall,
		}},
		{"a page of another site", named, "GET", "http://localhost/", []string{"Origin: https://wall.example.com.evil.example"}, 200, "", map[string]string{
			"Access-Control-Allow-Origin": "", "Vary": "Origin",
		}},
		{"a script of another site", named, "GET", "http://localhost/", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"}, 403, "origin", nil},
		{"a link of another site", named, "GET", "http://localhost/", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 200, "", nil},
		{"a preflight of a named site", named, "OPTIONS", "http://localhost/", []string{"Origin: " + wall, "Access-Control-Request-Method: POST"}, 204, "", map[string]string{
			"Access-Control-Allow-Origin": wall, "Access-Control-Allow-Methods": "GET, HEAD, POST", "Access-Control-Allow-Headers": "Authorization, Content-Type",
			"Access-Control-Max-Age": "600",
		}},
		{"a preflight of another site", named, "OPTIONS", "http://localhost/", []string{"Origin: https://evil.example", "Access-Control-Request-Method: POST"}, 200, "", map[string]string{
			"Access-Control-Allow-Origin": "", "Access-Control-Allow-Methods": "",
		}},
		{"a WebSocket of a named site", named, "GET", "http://localhost/", append(upgrade, "Origin: "+wall), 200, "", nil},
		{"a WebSocket of our page", named, "GET", "http://localhost:1/", append(upgrade, "Origin: http://LOCALHOST:1"), 200, "", nil},
		{"a WebSocket of no page", named, "GET", "http://localhost/", upgrade, 200, "", nil},
		{"a WebSocket of another port", named, "GET", "http://localhost:1/", append(upgrade, "Origin: http://localhost:2"), 403, "origin", nil},
		{"a WebSocket of another site", named, "GET", "http://localhost/", append(upgrade, "Origin: https://evil.example"), 403, "origin", nil},
		{"a WebSocket of a sandbox", named, "GET", "http://localhost/", append(upgrade, "Origin: null"), 403, "origin", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, refused := behindSites(c.cfg, c.method, c.url, c.fields...)
			if resp.StatusCode != c.code || strings.Join(refused, " ") != c.refused {
				t.Errorf("%s, refused %q, want %d, %q", resp.Status, refused, c.code, c.refused)
			}
			for name, want := range c.want {
				if got := strings.Join(resp.Header.Values(name), ", "); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// The page may be shown in frames of named sites too, and says nothing else than the files need.
func TestPageOfNamedSites(t *testing.T) {
	d := newDoorway(t)
	d.server.cfg.AllowedOrigins = []string{"https://wall.example.com"}
	r := httptest.NewRequest(http.MethodGet, "http://localhost"+doorwayURL, nil)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	policy := w.Result().Header.Values("Content-Security-Policy")
	if len(policy) != 1 || !strings.HasSuffix(policy[0], "frame-ancestors 'self' https://wall.example.com") || !strings.Contains(policy[0], "script-src 'self'") {
		t.Errorf("%s: %q", w.Result().Status, policy)
	}
}

func TestAssets(t *testing.T) {
	d := newDoorway(t)
	for url, want := range map[string]int{"/assets/player.js": 200, "/assets/none.js": 404, "/assets/index.html": 404, "/assets/.": 404, "/assets/player.js/x": 404} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w := d.request(method, url, "")
			if w.Code != want || w.Header().Get("Location") != "" {
				t.Errorf("%s %s: %d, want %d", method, url, w.Code, want)
			}
		}
	}
	if kind := d.request(http.MethodGet, "/assets/player.js", "").Header().Get("Content-Type"); !strings.HasPrefix(kind, "text/javascript") {
		t.Errorf("a script is %q", kind)
	}
}

func TestControlRate(t *testing.T) {
	d := newDoorway(t)
	refused := 0
	for range 500 {
		w := d.request(http.MethodPost, doorwayURL, `{"action":"start"}`)
		if w.Code == http.StatusTooManyRequests {
			refused++
			if details := d.refusal(w, http.StatusTooManyRequests).Details; details.RetryAfterSeconds < 1 || w.Header().Get("Retry-After") == "" {
				t.Fatal(details)
			}
		}
	}
	if counted := testutil.ToFloat64(d.server.limits.refusals.WithLabelValues("rate")); refused == 0 || counted != float64(refused) {
		t.Errorf("%d are refused, %v are counted", refused, counted)
	}
}

// Who does not get in gives everything back.
func TestViewerLimits(t *testing.T) {
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Limits.ViewersPerUser, cfg.Limits.ViewersPerNode = 2, 3
	l := newViewerLimits(&cfg.Limits, prometheus.NewRegistry())
	enter := func(node, caller string, want error) func() {
		t.Helper()
		leave, err := l.enter(node, caller)
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
		return leave
	}
	first := enter("a", "eve", nil)
	enter("b", "eve", nil)
	enter("a", "eve", errManyOfUser)
	enter("a", "bob", nil)
	enter("a", "bob", nil)
	enter("a", "joe", errManyOfNode)
	enter("b", "joe", nil)
	enter("b", "joe", nil) // the refusal took nothing of his
	first()
	enter("a", "eve", nil)
}

// All streams share one memory: GOP caches shrink as it becomes scarce, and what ends gives it back.
func TestSharedMemory(t *testing.T) {
	const total, size = 20_000, 1000
	memory := limit.NewMemory(total)
	var rigs []*rig
	for range 4 {
		r := newRig(t)
		r.cfg.memory = memory
		r.mustConnect(1)
		_, detach := r.attach()
		defer detach()
		rigs = append(rigs, r)
	}
	payload := media.JoinNALUs([][]byte{append([]byte{0x41}, make([]byte, size-5)...)})
	for seq := range uint64(30) {
		for _, r := range rigs {
			u := &media.AccessUnit{Track: 1, Sequence: seq + 1, PTS: int64(seq) * 3600, Capture: time.Now(), RandomAccess: seq%10 == 0, Payload: payload}
			if err := r.write(r.tunnel, u, time.Now()); err != nil {
				t.Fatal(err)
			}
			if used := memory.Used(); used > total {
				t.Fatalf("%d bytes are kept of %d", used, total)
			}
		}
	}
	for _, r := range rigs {
		if len(r.made[0].units) != 30 {
			t.Errorf("a viewer got %d units of 30", len(r.made[0].units))
		}
		r.disconnect(r.tunnel)
		r.remove(tunnel.CloseNormal, "over")
	}
	if used := memory.Used(); used != 0 {
		t.Errorf("%d bytes are kept of nothing", used)
	}
}
