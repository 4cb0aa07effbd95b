// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package assignment

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

func target(rule, path string) Target {
	return Target{
		Namespace: "default", Rule: rule, RuleUID: "uid", Path: path, Endpoint: "cam",
		Protocol: "websocket", URL: "rtsp://192.0.2.10/stream", Properties: map[string]string{"a": "1", "b": "2"},
	}
}

func TestRevisionFollowsContent(t *testing.T) {
	targets := []Target{target("b", "/2"), target("a", "/1"), target("b", "/1")}
	given := slices.Clone(targets)
	as := New("edge-1", targets)
	if err := as.Validate(); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(targets, given) {
		t.Error("New changed its argument")
	}
	slices.Reverse(targets)
	if got := New("edge-1", targets); !reflect.DeepEqual(got, as) {
		t.Errorf("another order: got %+v, want %+v", got, as)
	}
	if none, empty := New("edge-1", nil), New("edge-1", []Target{}); none.Revision != empty.Revision || none.Revision == "" {
		t.Errorf("no targets have revisions %q and %q", none.Revision, empty.Revision)
	}
	seen := map[string]string{as.Revision: "the original"}
	for name, edit := range map[string]func(*Target){
		"namespace":   func(t *Target) { t.Namespace = "x" },
		"rule":        func(t *Target) { t.Rule = "x" },
		"rule UID":    func(t *Target) { t.RuleUID = "x" },
		"path":        func(t *Target) { t.Path = "/x" },
		"endpoint":    func(t *Target) { t.Endpoint = "x" },
		"protocol":    func(t *Target) { t.Protocol = "x" },
		"URL":         func(t *Target) { t.URL = "x" },
		"credentials": func(t *Target) { t.NeedsCredentials = true },
		"properties":  func(t *Target) { t.Properties = map[string]string{"a": "1"} },
	} {
		changed := slices.Clone(targets)
		edit(&changed[0])
		revision := New("edge-1", changed).Revision
		if other, ok := seen[revision]; ok {
			t.Errorf("%s: the revision is that of %s", name, other)
		}
		seen[revision] = name
	}
}

func TestDecodeRoundTrip(t *testing.T) {
	for _, as := range []Assignment{New("edge-1", nil), New("edge-1", []Target{target("a", "/1"), target("b", "/2/3")})} {
		b, err := json.Marshal(as)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(b); err != nil || !reflect.DeepEqual(got, as) {
			t.Errorf("got %+v, %v, want %+v", got, err, as)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := (&Assignment{Node: "n", Revision: "r", Targets: []Target{{
		Namespace: "default", Rule: "r", Path: "/p", Protocol: "carrier-pigeon", URL: "gopher://x",
	}}}).Validate(); err != nil {
		t.Errorf("what only the node can judge was refused: %v", err)
	}
	const secret = "geheim"
	for name, edit := range map[string]func(*Assignment){
		"no node":           func(a *Assignment) { a.Node = "" },
		"no revision":       func(a *Assignment) { a.Revision = "" },
		"node with a slash": func(a *Assignment) { a.Node = "a/b" },
		"too many":          func(a *Assignment) { a.Targets = make([]Target, MaxTargets+1) },
		"twice":             func(a *Assignment) { a.Targets = append(a.Targets, a.Targets[0]) },
		"no namespace":      func(a *Assignment) { a.Targets[0].Namespace = "" },
		"no rule":           func(a *Assignment) { a.Targets[0].Rule = "" },
		"relative path":     func(a *Assignment) { a.Targets[0].Path = "camera" },
		"unclean path":      func(a *Assignment) { a.Targets[0].Path = "/a/../b" },
		"broken URL":        func(a *Assignment) { a.Targets[0].URL = "rtsp://admin:" + secret + "@%zz/" },
		"URL with newline":  func(a *Assignment) { a.Targets[0].URL = "rtsp://admin:" + secret + "\n@h/" },
	} {
		as := New("edge-1", []Target{target("a", "/1")})
		edit(&as)
		b, err := json.Marshal(as)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Decode(b)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: credentials in %q", name, err)
		}
	}
	for _, b := range []string{"", "null", "[]", `{"node":`, `{"node":"n","revision":"r"} x`} {
		if as, err := Decode([]byte(b)); err == nil {
			t.Errorf("%q: got %+v, want an error", b, as)
		}
	}
}

func TestNames(t *testing.T) {
	if got, want := NodeResource("edge-1"), "node/edge-1/datastream/assignment"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	tg := target("a", "/1")
	if got, want := tg.Key("edge-1"), (tunnel.StreamKey{Node: "edge-1", Namespace: "default", Rule: "a", Path: "/1"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// FuzzDecode: nothing panics, and what is accepted is valid and survives another round.
func FuzzDecode(f *testing.F) {
	for _, as := range []Assignment{New("edge-1", nil), New("edge-1", []Target{target("a", "/1"), target("b", "/2/3")})} {
		b, err := json.Marshal(as)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		as, err := Decode(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(as)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(again); err != nil {
			t.Fatalf("%s became %s: %v", b, again, err)
		}
	})
}
