// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// neighbour is an API server that knows one user, who may watch and control rule r in namespace default, and nothing else.
type neighbour struct{}

func (neighbour) Authenticate(context.Context, string) (*viewerauth.User, error) {
	return &viewerauth.User{Username: "neighbour"}, nil
}

func (neighbour) Authorize(_ context.Context, s authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	r := s.ResourceAttributes
	return r != nil && r.Namespace == "default" && r.Name == "r" && r.Subresource != "", nil
}

const canary = "canary"

// hidden are streams that the neighbour may not see, not even their names.
var hidden = []tunnel.StreamKey{
	{Node: "edge-1", Namespace: "default", Rule: "secret", Path: "/" + canary},
	{Node: "edge-1", Namespace: "yard", Rule: "r", Path: "/p"},
	{Node: "edge-1", Namespace: "default", Rule: "r2", Path: "/p/ticket"},
	{Node: "r", Namespace: "node", Rule: "edge-1", Path: "/r/p"},
}

// FuzzDoor is a user who may see one rule and tries all URLs. Whatever the guard and the router make of them, nothing of others comes out, and
// nothing is done to their streams.
func FuzzDoor(f *testing.F) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead, "get", "PUT"} {
		for _, url := range []string{
			doorwayURL, doorwayURL + "?format=state", "/namespaces/default" + doorwayURL, "/node/edge-1/r/p/ticket", "/streams", "/metrics",
			"/node/edge-1/secret/" + canary + "?format=state", "/node/edge-1/r/../secret/" + canary + "?format=state",
			"/node/edge-1/r%2f..%2fsecret/" + canary + "?format=state", "/namespaces/yard/node/edge-1/r/p?format=state",
			"/namespaces/default/../yard/node/edge-1/r/p", "//node/edge-1/r/p", "/namespaces/node/node/r/edge-1/r/p?format=state",
			"http://elsewhere/node/edge-1/secret/" + canary, "/node/edge-1/r;secret/p", "/node/edge-1/r?format=state&ticket=x", "*",
			"/debug/pprof/heap", "/assets/../metrics", "/assets/player.js",
		} {
			f.Add(method, url, "", `{"action":"stop"}`)
		}
	}
	f.Add("GET", doorwayURL, "X-Original-Url: /namespaces/yard/node/edge-1/r/p\r\nAccept: text/html\r\n", "")
	f.Add("GET", doorwayURL, "X-Http-Method-Override: POST\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", "")
	var d *doorway
	var secrets []*VideoSession
	times := 0
	f.Fuzz(func(t *testing.T, method, url, fields, body string) {
		// Making one takes longer than all the rest; but nobody may ask one too often.
		if times++; times%200 == 1 {
			d = newDoorway(t)
			d.server.cfg.Authentication = v1alpha1.AuthenticationKubernetes
			d.server.reviewer = neighbour{}
			var err error
			if d.handler, _, err = d.server.door(); err != nil {
				t.Fatal(err)
			}
			secrets = d.hide()
		}
		raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: cloud\r\nAuthorization: Bearer x\r\n%sContent-Length: %d\r\n\r\n%s", method, url, fields, len(body), body)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		d.handler.ServeHTTP(w, r)
		var answer bytes.Buffer
		_ = w.Result().Header.Write(&answer)
		answer.Write(w.Body.Bytes())
		// What the caller says may come back to it.
		if strings.Contains(answer.String(), canary) && !strings.Contains(raw, canary) || strings.Contains(answer.String(), secretMessage) {
			t.Errorf("%s %s: %d %s", method, url, w.Code, answer.String())
		}
		for _, v := range secrets {
			if status, _ := v.Status(); status.Viewers != 0 || v.mode != modeAuto || v.wanted {
				t.Errorf("%s %s is about %s", method, url, v.key)
			}
		}
	})
}

const secretMessage = "somebody is at the gate"

// hide adds the hidden streams, which are connected and have something to say.
func (d *doorway) hide() []*VideoSession {
	d.Helper()
	entries := map[string][]assignment.Entry{"edge-1": {{Namespace: "default", Rule: "r", Path: "/p", RuleUID: "uid"}}}
	for _, k := range hidden {
		entries[k.Node] = append(entries[k.Node], assignment.Entry{Namespace: k.Namespace, Rule: k.Rule, Path: k.Path, RuleUID: "uid"})
	}
	for node, e := range entries {
		d.server.apply(assignment.NodeDirectory{Node: node, Entries: e})
	}
	var all []*VideoSession
	for _, k := range hidden {
		v := d.server.find(k)
		s := &Session{key: k, video: v, hello: tunnel.Hello{Node: k.Node, RuleUID: "uid", Epoch: 1}, wake: make(chan struct{}, 1)}
		if err := v.connect(s); err != nil {
			d.Fatal(err)
		}
		v.setState(s, &tunnel.State{State: tunnel.Failed, Message: secretMessage})
		all = append(all, v)
	}
	return all
}

// FuzzControl sends what it likes to the control API. It does what it answers, and nothing else.
func FuzzControl(f *testing.F) {
	actions := []string{"start", "pause", "resume", "stop"}
	for _, a := range append(slices.Clone(actions), "", "Start", "stop\u0000") {
		b, err := json.Marshal(controlRequest{a})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, body := range []string{"", "null", "[]", `{"action":null}`, `{"action":"stop","action":"start"}`, `{"action":"stop"} x`, `{"actions":"stop"}`, `{"ACTION":"stop"}`} {
		f.Add([]byte(body))
	}
	f.Add(append(bytes.Repeat([]byte(" "), maxControlBody), `{"action":"stop"}`...))
	f.Fuzz(func(t *testing.T, body []byte) {
		d := newDoorway(t)
		w := d.request(http.MethodPost, doorwayURL, string(body))
		did := d.video.mode != modeAuto || d.video.wanted
		switch w.Code {
		case http.StatusOK:
			var asked controlRequest
			if err := json.NewDecoder(bytes.NewReader(body)).Decode(&asked); err != nil || !slices.Contains(actions, asked.Action) {
				t.Errorf("%q was taken", body)
			}
			if did == (asked.Action == "resume") { // there is nothing to resume
				t.Errorf("%q: mode %v, wanted %t", body, d.video.mode, d.video.wanted)
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			if did || w.Body.Len() > 8<<10 {
				t.Errorf("%q was refused with %d bytes, and done", body, w.Body.Len())
			}
		default:
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	})
}
