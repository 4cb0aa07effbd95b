// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	inYard    = "/namespaces/" + yard + "/node/" + node + "/" + rule + path
	inDefault = "/node/" + node + "/" + rule + path
)

// question is one thing that can be asked for.
type question struct {
	name   string
	method string
	url    string
	accept string
	body   string
	// want are the answers to the callers, in their order.
	want string
	// routes are those of the server's that the question goes through.
	routes []string
}

const (
	streamRoute    = "/namespaces/{namespace}/node/{node}/{rule}/{path:*}"
	defaultRoute   = "/node/{node}/{rule}/{path:*}"
	everybody      = "200 200 200 200 200 200 200 200 200"
	watchers       = "401 401 401 403 200 200 403 200 200"
	operators      = "401 401 401 403 403 200 403 403 403"
	nobody         = "401 401 401 403 403 403 403 401 403"
	monitors       = "401 401 401 403 403 403 200 401 403"
	anybodyKnown   = "401 401 401 200 200 200 200 401 200"
	watchersAbsent = "401 401 401 403 404 404 403 401 404"
)

// callers, in the order of question.want. The ticket is for the stream of yard.
var callers = []string{"no token", "bad token", "expired token", "other namespace", "only get", "control", "metrics", "ticket", "certificate"}

func questions() []question {
	get := func(name, url, want string, routes ...string) question {
		return question{name: name, method: http.MethodGet, url: url, want: want, routes: routes}
	}
	qs := []question{
		get("mp4", inYard+"?format=mp4", watchers, "GET "+streamRoute),
		get("ts", inYard+"?format=ts", watchers, "GET "+streamRoute),
		get("mse", inYard+"?format=mse", strings.ReplaceAll(watchers, "200", "101"), "GET "+streamRoute),
		get("state", inYard+"?format=state", watchers, "GET "+streamRoute),
		get("state in default", inDefault+"?format=state", "401 401 401 403 200 200 403 401 403", "GET "+defaultRoute),
		get("unknown rule", "/namespaces/"+yard+"/node/edge-1/none/camera", watchersAbsent, "GET "+streamRoute),
		get("unknown path", "/namespaces/"+yard+"/node/edge-1/gate/none", watchersAbsent, "GET "+streamRoute),
		get("unknown node", "/namespaces/"+yard+"/node/edge-9/gate/camera", watchersAbsent, "GET "+streamRoute),
		get("unknown format", inYard+"?format=none", strings.ReplaceAll(watchers, "200", "400"), "GET "+streamRoute),
		get("no path", "/namespaces/"+yard+"/node/edge-1/gate", watchersAbsent, "GET /namespaces/{namespace}/node/{node}/{rule}"),
		get("no rule", "/namespaces/"+yard+"/node/edge-1", watchersAbsent, "GET /namespaces/{namespace}/node/{node}"),
		get("no path in default", "/node/edge-1/gate", "401 401 401 403 404 404 403 401 403", "GET /node/{node}/{rule}"),
		get("no rule in default", "/node/edge-1", "401 401 401 403 404 404 403 401 403", "GET /node/{node}"),
		get("list", "/streams", anybodyKnown, "GET /streams"),
		get("metrics", "/metrics", monitors, "GET /metrics"),
		get("profiles", "/debug/pprof/", nobody, "GET /debug/pprof/"),
		get("profiles, where their links would lead nowhere", "/debug/pprof", strings.ReplaceAll(everybody, "200", "404")),
		get("heap profile", "/debug/pprof/heap", nobody, "GET /debug/pprof/{profile}"),
		get("CPU profile", "/debug/pprof/profile?seconds=1", nobody),
		get("trace", "/debug/pprof/trace?seconds=1", nobody),
		get("goroutines", "/debug/pprof/goroutine?debug=2", nobody),
		get("command line", "/debug/pprof/cmdline", nobody),
		get("symbols", "/debug/pprof/symbol", nobody),
		get("no profile", "/debug/pprof/none", nobody),
		{name: "symbols by post", method: http.MethodPost, url: "/debug/pprof/symbol", want: nobody},
		get("health", "/healthz", everybody, "GET /healthz"),
		get("readiness", "/readyz", everybody, "GET /readyz"),
		get("script", "/assets/player.js", everybody, "GET /assets/{path:*}"),
		get("anything else", "/api/anything", strings.ReplaceAll(everybody, "200", "404")),
		{name: "head", method: http.MethodHead, url: inYard, want: watchers, routes: []string{"HEAD " + streamRoute}},
		{name: "head in default", method: http.MethodHead, url: inDefault, want: "401 401 401 403 200 200 403 401 403", routes: []string{"HEAD " + defaultRoute}},
		{name: "page", method: http.MethodGet, url: inYard, accept: "text/html", want: watchers, routes: []string{"GET " + streamRoute}},
		{name: "control", method: http.MethodPost, url: inYard, body: `{"action":"start"}`, want: operators, routes: []string{"POST " + streamRoute}},
		{name: "control in default", method: http.MethodPost, url: inDefault, body: `{"action":"start"}`,
			want: "401 401 401 403 403 200 403 401 403", routes: []string{"POST " + defaultRoute}},
		{name: "unknown method", method: http.MethodDelete, url: inYard, want: strings.ReplaceAll(operators, "200", "405")},
		{name: "ticket", method: http.MethodPost, url: inYard + "/ticket", want: "401 401 401 403 200 200 403 403 200", routes: []string{"POST " + streamRoute}},
		{name: "ticket to control", method: http.MethodPost, url: inYard + "/ticket", body: `{"control":true}`, want: operators},
	}
	return qs
}

// makeCallers returns the callers of the table.
func makeCallers(t *testing.T) map[string]caller {
	t.Helper()
	get := account(t, "only-get", []string{yard, metav1.NamespaceDefault}, "datastream-viewer")
	made := map[string]caller{
		"no token":        {},
		"bad token":       {token: "bad"},
		"expired token":   {token: resign(t, get, time.Now().Add(-time.Minute))},
		"other namespace": {token: account(t, "stranger", []string{other}, "datastream-operator")},
		"only get":        {token: get},
		"control":         {token: account(t, "operator", []string{yard, metav1.NamespaceDefault}, "datastream-operator")},
		"metrics":         {token: account(t, "prometheus", nil)},
		"certificate":     certificate(t, "carol"),
	}
	bind(t, yard, "carol", "datastream-viewer", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "carol"})
	monitoring := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "prometheus"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:monitoring"}, // Kubernetes' own
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "prometheus", Namespace: yard}},
	}
	bindings := env.admin.RbacV1().ClusterRoleBindings()
	_, err := bindings.Create(t.Context(), monitoring, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { _ = bindings.Delete(context.Background(), monitoring.Name, metav1.DeleteOptions{}) })
	granted(t, monitoring.Subjects[0], mayGetPath("/metrics"))
	// The token is refused for its time and for nothing else.
	if code, _ := ask(t, caller{token: resign(t, get, time.Now().Add(time.Hour))}, question{method: http.MethodGet, url: inYard + "?format=state"}); code != 200 {
		t.Errorf("a token that we signed is answered with %d", code)
	}
	return made
}

func TestAccess(t *testing.T) {
	who := makeCallers(t)
	for _, q := range questions() {
		want := strings.Fields(q.want)
		if len(want) != len(callers) {
			t.Fatalf("%s has %d answers for %d callers", q.name, len(want), len(callers))
		}
		for i, name := range callers {
			t.Run(q.name+"/"+name, func(t *testing.T) {
				c, q := who[name], q
				if name == "ticket" {
					q.url = withTicket(t, who["only get"], q.url)
				}
				code, body := ask(t, c, q)
				if got := fmt.Sprint(code); got != want[i] {
					t.Fatalf("%s, want %s: %.300s", got, want[i], body)
				}
				if code >= 400 && q.method != http.MethodHead {
					checkRefusal(t, code, body)
				}
			})
		}
	}
}

// A route that the table does not name, or an output, fails the test.
func TestTableIsWhole(t *testing.T) {
	var named []string
	outputs := make(map[string]bool)
	for _, q := range questions() {
		named = append(named, q.routes...)
		outputs[q.name] = true
	}
	for _, route := range env.server.Routes() {
		get := "GET " + strings.TrimPrefix(route, "HEAD ") // the same handler, behind the same right
		if !slices.Contains(named, route) && !slices.Contains(named, get) {
			t.Errorf("the table has no question for %s", route)
		}
	}
	for _, route := range named {
		if !slices.Contains(env.server.Routes(), route) {
			t.Errorf("the server has no route %s", route)
		}
	}
	c := caller{token: account(t, "outputs", []string{yard}, "datastream-viewer")}
	_, body := ask(t, c, question{method: http.MethodGet, url: inYard + "?format=none"})
	list := regexp.MustCompile(`\[(.*)\]`).FindSubmatch(body)
	if list == nil {
		t.Fatalf("no list of outputs in %s", body)
	}
	for _, name := range regexp.MustCompile(`[a-z0-9]+`).FindAllString(string(list[1]), -1) {
		if !outputs[name] {
			t.Errorf("the table has no question for the output %s", name)
		}
	}
}

// Who may not see a rule learns nothing about it, not even whether there is one.
func TestNothingLeaks(t *testing.T) {
	stranger := caller{token: account(t, "nosy", []string{other}, "datastream-viewer")}
	_, there := ask(t, stranger, question{method: http.MethodGet, url: inYard})
	_, absent := ask(t, stranger, question{method: http.MethodGet, url: "/namespaces/" + yard + "/node/nowhere/none" + path})
	if want := strings.ReplaceAll(string(there), rule, "none"); want != string(absent) {
		t.Errorf("the answers differ:\n%s%s", want, absent)
	}
	_, list := ask(t, stranger, question{method: http.MethodGet, url: "/streams"})
	if !strings.Contains(string(list), "/namespaces/other/") || strings.Contains(string(list), yard) || strings.Contains(string(list), `"url": "/node/`) {
		t.Errorf("the list is %s", list)
	}
}

// A right to one rule by its name is one to that rule only.
func TestOneRule(t *testing.T) {
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "only-gate"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"streamrules.kubeedge.io"}, Resources: []string{"streamrules/stream"}, Verbs: []string{"get"}, ResourceNames: []string{rule},
		}},
	}
	_, err := env.admin.RbacV1().Roles(yard).Create(t.Context(), role, metav1.CreateOptions{})
	must(t, err)
	binding := &rbacv1.RoleBinding{
		ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "gatekeeper", Namespace: yard}},
	}
	_, err = env.admin.RbacV1().RoleBindings(yard).Create(t.Context(), binding, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = env.admin.RbacV1().RoleBindings(yard).Delete(context.Background(), binding.Name, metav1.DeleteOptions{})
		_ = env.admin.RbacV1().Roles(yard).Delete(context.Background(), role.Name, metav1.DeleteOptions{})
	})
	granted(t, binding.Subjects[0], mayGet(yard, rule))
	c := caller{token: account(t, "gatekeeper", nil)}
	for url, want := range map[string]int{
		inYard + "?format=state":                    200,
		"/namespaces/yard/node/edge-1/none/camera":  403,
		"/namespaces/yard/node/edge-1":              403,
		"/namespaces/other/node/edge-1/gate/camera": 403,
		inDefault: 403,
		"/namespaces/yard/node/edge-1/gate%2Fcamera":     200, // as any router reads it
		"/namespaces/other/../yard/node/edge-1/gate/x":   404,
		"/namespaces/yard/node/edge-1/gate/../none/x":    404,
		"/namespaces/yard/node/edge-1//gate/camera":      404,
		"/namespaces/yard/node/edge-1/gate/camera/":      404,
		"/namespaces/yard/node/edge-1/gate/%2e%2e/none":  404,
		"/namespaces/yard/node/edge-1/gate/x?rule=other": 404,
	} {
		if code, body := ask(t, c, question{method: http.MethodHead, url: url}); code != want {
			t.Errorf("%s: %d %s, want %d", url, code, body, want)
		}
	}
}

func TestSubprotocol(t *testing.T) {
	token := account(t, "browser", []string{yard}, "datastream-viewer")
	for value, want := range map[string]int{
		base64.RawURLEncoding.EncodeToString([]byte(token)):       101,
		base64.RawURLEncoding.EncodeToString([]byte(token + "x")): 401,
	} {
		d := websocket.Dialer{TLSClientConfig: tlsConfig(nil), Subprotocols: []string{"base64url.bearer.authorization.k8s.io." + value}}
		ws, resp, err := d.DialContext(t.Context(), strings.Replace(env.url, "http", "ws", 1)+inYard, nil)
		if err == nil {
			ws.Close()
		}
		if resp == nil || resp.StatusCode != want {
			t.Errorf("%v, %v, want %d", resp, err, want)
		}
	}
}

// The page is opened with a ticket once; what it loads and asks comes by its cookie.
func TestPage(t *testing.T) {
	operator := caller{token: account(t, "desk", []string{yard}, "datastream-operator")}
	req := newRequest(t, caller{}, question{method: http.MethodGet, url: withTicket(t, operator, inYard), accept: "text/html"})
	resp, err := env.client.Do(req)
	must(t, err)
	resp.Body.Close()
	if len(resp.Cookies()) != 1 || !resp.Cookies()[0].Secure || !resp.Cookies()[0].HttpOnly {
		t.Fatalf("%s, cookies %v", resp.Status, resp.Cookies())
	}
	header := http.Header{"Cookie": {resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value}, "Origin": {env.url}}
	d := websocket.Dialer{TLSClientConfig: tlsConfig(nil)}
	ws, answer, err := d.DialContext(t.Context(), strings.Replace(env.url, "http", "ws", 1)+inYard+"?ticket=old&format=mse", header)
	if err != nil {
		t.Fatalf("%v, %v", answer, err)
	}
	ws.Close()
	for body, want := range map[string]int{`{"action":"start"}`: 403, `{"control":true}`: 403} { // the ticket was for watching
		req := newRequest(t, caller{}, question{method: http.MethodPost, url: inYard, body: body})
		req.Header = header
		resp, err := env.client.Do(req)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", body, resp.Status, want)
		}
	}
}

// checkRefusal checks that an answer is a metav1.Status that says what to do.
func checkRefusal(t *testing.T, code int, body []byte) {
	t.Helper()
	var s metav1.Status
	if err := json.Unmarshal(body, &s); err != nil || s.Kind != "Status" || int(s.Code) != code || s.Message == "" {
		t.Errorf("no metav1.Status: %v in %s", err, body)
	}
	if code == 401 && !strings.Contains(s.Message, "kubectl create token") || code == 403 && !strings.Contains(s.Message, "kubectl auth can-i") &&
		!strings.Contains(s.Message, "ticket") {
		t.Errorf("no next step in %q", s.Message)
	}
}

func newRequest(t *testing.T, c caller, q question) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), q.method, env.url+q.url, strings.NewReader(q.body))
	must(t, err)
	c.sign(req.Header)
	if q.accept != "" {
		req.Header.Set("Accept", q.accept)
	}
	if strings.Contains(q.url, "format=mse") {
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
		} {
			req.Header.Set(name, value)
		}
	}
	return req
}

// ask returns the answer, or its beginning. Profiles are read to their end: what the server still wrote of one would outlive the test.
func ask(t *testing.T, c caller, q question) (code int, body []byte) {
	t.Helper()
	client := env.client
	if c.certificate != nil {
		client = newClient(c.certificate)
		defer client.CloseIdleConnections()
	}
	resp, err := client.Do(newRequest(t, c, q))
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, err = io.ReadAll(io.LimitReader(resp.Body, 1000))
		must(t, err)
		if strings.HasPrefix(q.url, "/debug/pprof/") {
			_, err = io.Copy(io.Discard, resp.Body)
			must(t, err)
		}
	}
	return resp.StatusCode, body
}

// withTicket returns url with a ticket for the stream of yard.
func withTicket(t *testing.T, c caller, to string) string {
	t.Helper()
	code, body := ask(t, c, question{method: http.MethodPost, url: inYard + "/ticket"})
	var answer struct{ Ticket string }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Ticket == "" {
		t.Fatalf("no ticket: %d %s", code, body)
	}
	u, err := url.Parse(to)
	must(t, err)
	query := u.Query()
	query.Set("ticket", answer.Ticket)
	u.RawQuery = query.Encode()
	return u.String()
}
