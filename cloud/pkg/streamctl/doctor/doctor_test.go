// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"
)

// What needs rules, nodes and cameras is in tests/doctor.

func TestPrint(t *testing.T) {
	bad := Stream{Namespace: "yard", Rule: "gate", Path: "/camera", Node: "edge-1", Checks: []Check{
		{Name: checkTunnel, Level: OK, Message: "connected"},
		{Name: checkNode, Level: Unknown, Message: "you may not read nodes"},
		{checkControl, Warn, "Paused", "frozen", "resume it"},
		{checkSource, Fail, "NotFound", "no such stream", "correct the path"},
	}}
	r := Report{
		Checks:  []Check{{Name: checkAPIServer, Level: OK, Message: "v1.30.14"}},
		Streams: []Stream{{Namespace: "yard", Rule: "barn", Path: "/east", Node: "edge-2", Checks: []Check{{Name: checkTunnel, Level: OK}}}, bad},
	}
	r.conclude()
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	want := `ok    api-server  v1.30.14

ok    yard barn/east on edge-2

yard gate/camera on edge-1
ok    tunnel   connected
-     node     you may not read nodes
warn  control  Paused: frozen; resume it
FAIL  source   no such stream

Cause: NotFound (yard gate/camera on edge-1): no such stream
Next:  correct the path
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestClosest(t *testing.T) {
	for name, want := range map[string]string{"edge-11": "edge-1", "egde-1": "edge-1", "edge": "", "camera": "", "": ""} {
		if got := closest(name, []string{"edge-1", "barn-north"}); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestAdvice(t *testing.T) {
	for reason := range sourceAdvice {
		text := adviseSource(reason, "yard", "gate", "edge-1", "192.0.2.1")
		if strings.ContainsAny(strings.ReplaceAll(text, "{.spec", ""), "{%") {
			t.Errorf("%s: %s", reason, text)
		}
	}
	if text := adviseSource("ConnectionRefused", "yard", "gate", "edge-1", "192.0.2.1"); !strings.Contains(text, "nc -vz 192.0.2.1 554;") {
		t.Error(text)
	}
	if text := adviseSource("SomethingNew", "", "", "edge-1", ""); !strings.Contains(text, "on node edge-1") {
		t.Error(text)
	}
}

func TestRedact(t *testing.T) {
	for url, want := range map[string]string{
		"rtsp://admin:canary@192.0.2.1/stream": "rtsp://…@192.0.2.1/stream", "rtsp://192.0.2.1/stream": "rtsp://192.0.2.1/stream", "%": "(a URL that cannot be parsed)",
	} {
		if got := redact(url); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
}
