// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubeedge/datastream/cloud/pkg/streamctl/cmd"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/ports"
)

// nowhere is a camera's URL for set-ups that never get as far.
const nowhere = "rtsp://127.0.0.1:1/stream"

// probing has the doctor watch, shortly.
var probing = []string{"--probe", "--probe-time", "200ms"}

func with(stream string, args ...string) []string { return append([]string{stream}, args...) }

func TestHealthy(t *testing.T) {
	stream := setup{url: cameraOf(t, camera.Config{}).URL()}.apply(t)
	ask(t.Context(), operator, stream).wantHealthy(t)
	a := ask(t.Context(), operator, with(stream, probing...)...)
	a.wantHealthy(t)
	c := a.check("probe")
	if c.Code == "SlowStart" { // of this machine, not of the camera
		c.Level = "ok"
	}
	if c.Level != "ok" || !strings.Contains(c.Message, "25.0 frames a second, key frames 2.0 s apart") {
		t.Errorf("the probe says %+v", c)
	}
	ask(t.Context(), viewer, with(stream, probing...)...).wantHealthy(t)
	if a := streams(t.Context(), operator, "doctor", stream); a.code != 0 || !strings.Contains(a.out, "ok    tunnel") || strings.Contains(a.out, "Cause") {
		t.Errorf("exit code %d\n%s%s", a.code, a.out, a.errors)
	}
}

// What is wrong with a camera shows only while somebody watches.
func TestCamera(t *testing.T) {
	for name, c := range map[string]struct {
		url  func(t *testing.T) string
		at   string
		want string
	}{
		"WrongPassword": {func(t *testing.T) string {
			url := cameraOf(t, camera.Config{Username: "admin", Password: "right"}).URL()
			return strings.Replace(url, "rtsp://", "rtsp://admin:canary@", 1)
		}, "source", "AuthenticationFailed"},
		"PortClosed": {func(t *testing.T) string {
			address, err := ports.Free("127.0.0.1:0")
			must(t, err)
			return "rtsp://" + address + "/stream"
		}, "source", "ConnectionRefused"},
		"PathUnknown": {func(t *testing.T) string { return cameraOf(t, camera.Config{}).URL() + "/none" }, "source", "NotFound"},
		"CodecUnknown": {func(t *testing.T) string {
			track, err := camera.Unknown()
			return cameraOf(t, camera.Config{Clip: clipOf(t, track, err)}).URL()
		}, "source", "NoSupportedTracks"},
		"CodecOfNoOutput": {func(t *testing.T) string {
			track, err := camera.G711(true)
			return cameraOf(t, camera.Config{Clip: clipOf(t, track, err)}).URL()
		}, "output", "NoOutput"},
		"SendsNothing": {func(t *testing.T) string {
			c := cameraOf(t, camera.Config{})
			c.Stall()
			return c.URL()
		}, "source", "Stalled"},
	} {
		t.Run(name, func(t *testing.T) {
			stream := setup{url: c.url(t)}.apply(t)
			for _, who := range []string{operator, viewer} {
				a := ask(t.Context(), who, with(stream, probing...)...)
				a.wantCause(t, c.at, c.want)
				if strings.Contains(a.out, "canary") {
					t.Errorf("the password is in %s", a.out)
				}
			}
		})
	}
}

// Those who may not read endpoints, Secrets and nodes are told as much, by the rule's status.
func TestObjects(t *testing.T) {
	for name, c := range map[string]struct {
		setup
		secret *corev1.Secret
		at     string
		want   string
	}{
		"EndpointMissing": {setup: setup{lone: true}, at: "endpoint", want: "EndpointMissing"},
		"SecretMissing":   {setup: setup{url: nowhere, secret: "none"}, at: "credentials", want: "CredentialsMissing"},
		"SecretOfOtherType": {
			setup: setup{url: nowhere, secret: "opaque"}, at: "credentials", want: "CredentialsMissing",
			secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "opaque"}, StringData: map[string]string{"username": "admin", "password": "canary"}},
		},
		"SecretUnusable": {
			setup: setup{url: nowhere, secret: "broken"}, at: "credentials", want: "CredentialsInvalid",
			secret: &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: "broken"}, Type: corev1.SecretTypeBasicAuth,
				StringData: map[string]string{"username": "admin\n", "password": "canary"},
			},
		},
		"NodeMistyped":    {setup: setup{url: nowhere, node: "edge-11"}, at: "node", want: "NodeMissing"},
		"NodeNotReady":    {setup: setup{url: nowhere, node: silent}, at: "node", want: "NodeNotReady"},
		"NodeUnconnected": {setup: setup{url: nowhere, node: unconnected}, at: "tunnel", want: "TunnelDown"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.secret != nil {
				_, err := env.admin.CoreV1().Secrets(yard).Create(t.Context(), c.secret, metav1.CreateOptions{})
				must(t, err)
				t.Cleanup(func() {
					must(t, env.admin.CoreV1().Secrets(yard).Delete(context.Background(), c.secret.Name, metav1.DeleteOptions{}))
				})
			}
			stream := c.apply(t)
			a := ask(t.Context(), operator, stream)
			a.wantCause(t, c.at, c.want)
			if strings.Contains(a.out, "canary") {
				t.Errorf("the password is in %s", a.out)
			}
			if c.at == "node" { // nodes are seen by the API server only
				c.at, c.want = "tunnel", "TunnelDown"
			}
			ask(t.Context(), viewer, stream).wantCause(t, c.at, c.want)
		})
	}
}

// --token says who asks, also beside a kubeconfig with a client certificate.
func TestTokenBesideCertificate(t *testing.T) {
	stream := setup{url: nowhere}.apply(t)
	review, err := env.admin.CoreV1().ServiceAccounts(yard).CreateToken(t.Context(), viewer, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(t, err)
	a := ask(t.Context(), certificate, stream, "--token", review.Status.Token)
	a.wantHealthy(t)
	if c := a.check("rights"); !strings.Contains(c.Message, "may watch it") {
		t.Errorf("the viewer's rights are %+v", c)
	}
}

func TestTunnelCut(t *testing.T) {
	stream := setup{url: nowhere}.apply(t)
	env.Proxy.SetDown(true)
	t.Cleanup(func() { env.Proxy.SetDown(false) })
	must(t, poll(t.Context(), func() (bool, error) {
		return strings.Contains(streams(t.Context(), operator, "describe", stream).out, "down"), nil
	}))
	ask(t.Context(), operator, stream).wantCause(t, "tunnel", "TunnelDown")
}

func TestControl(t *testing.T) {
	stream := setup{url: cameraOf(t, camera.Config{}).URL()}.apply(t)
	control := func(verb string) {
		t.Helper()
		if a := streams(t.Context(), operator, verb, stream); a.code != 0 {
			t.Fatal(a.errors)
		}
	}
	control("stop")
	ask(t.Context(), operator, with(stream, probing...)...).wantCause(t, "control", "Stopped")
	control("start")
	control("pause")
	must(t, poll(t.Context(), func() (bool, error) { return ask(t.Context(), operator, stream).check("control").Code == "Paused", nil }))
	control("resume")
	ask(t.Context(), operator, with(stream, probing...)...).wantHealthy(t)
	if a := streams(t.Context(), viewer, "stop", stream); a.code != 1 || !strings.Contains(a.errors, "may not update") {
		t.Errorf("a viewer stops a stream: %d %s%s", a.code, a.out, a.errors)
	}
}

func TestCaller(t *testing.T) {
	stream := setup{url: nowhere}.apply(t)
	for who, want := range map[string][2]string{
		stranger:    {"rights", "NoRightToList"},
		lister:      {"rights", "NoRightToWatch"},
		unknown:     {"api-server", "APIServerRefuses"},
		certificate: {"rights", "TokenMissing"},
		lost:        {"api-server", "APIServerUnreachable"},
	} {
		t.Run(who, func(t *testing.T) { ask(t.Context(), who, stream).wantCause(t, want[0], want[1]) })
	}
}

func TestNames(t *testing.T) {
	stream := setup{url: nowhere}.apply(t)
	for arg, want := range map[string]string{"nams/camera": "RuleMissing", "names/none": "PathMissing", "names/camera --node=edge-7": "PathMissing"} {
		ask(t.Context(), operator, strings.Fields(arg)...).wantCause(t, "rule", want)
	}
	if a := ask(t.Context(), operator, "nams"); !strings.Contains(a.Causes[0].Next, " names ") {
		t.Errorf("no suggestion in %+v, want %s", a.Causes[0], stream)
	}
}

func TestServerOutOfReach(t *testing.T) {
	stream := setup{url: nowhere}.apply(t)
	for server, want := range map[string]string{
		"http://127.0.0.1:1":             "StreamServerUnreachable",
		"ftp://127.0.0.1":                "StreamServerUnreachable",
		"https://" + env.Viewers:         "StreamServerUnreachable", // it serves no TLS
		"https://" + env.Address():       "StreamServerUntrusted",
		"":                               "StreamServerUnreachable", // no pod
		"http://" + env.Viewers + "/any": "",
	} {
		t.Run(server, func(t *testing.T) {
			a := ask(t.Context(), operator, stream, "--stream-server", server)
			if want == "" {
				a.wantHealthy(t)
				return
			}
			a.wantCause(t, "stream-server", want)
		})
	}
	if a := ask(t.Context(), viewer, stream, "--stream-server", ""); a.Causes[0].Code != "NoRightToForward" {
		t.Errorf("%+v", a.Causes)
	}
}

func TestNoCRDs(t *testing.T) { env.bare.wantCause(t, "crds", "CRDsMissing") }

// The other commands, on a stream that works.
func TestCommands(t *testing.T) {
	stream := setup{url: cameraOf(t, camera.Config{}).URL()}.apply(t)
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		want string // in what is written
	}{
		{"list", "commands   /camera   edge-1"},
		{"list -A -o wide", "yard"},
		{"list -o name", stream},
		{"list -o json", `"url": "/namespaces/yard/node/edge-1/commands/camera"`},
		{"describe commands", "Tunnel:"},
		{"watch " + stream, "?ticket="},
		{"start " + stream, "asked to start"},
		{"snapshot " + stream + " -o -", "ftyp"},
		{"snapshot commands -o " + filepath.Join(dir, "one.mp4"), ""},
	} {
		a := streams(t.Context(), operator, strings.Fields(c.args)...)
		if a.code != 0 || !strings.Contains(a.out, c.want) {
			t.Errorf("%s: exit code %d, want %s in\n%.2000s%s", c.args, a.code, c.want, a.out, a.errors)
		}
	}
	var out strings.Builder
	code := cmd.Run(t.Context(), []string{"__complete", "--kubeconfig", kubeconfig(operator), "watch", ""}, genericiooptions.IOStreams{Out: &out, ErrOut: &out})
	if code != 0 || !strings.Contains(out.String(), stream) {
		t.Errorf("completion: exit code %d, %s", code, out.String())
	}
	clip, err := os.ReadFile(filepath.Join(dir, "one.mp4"))
	must(t, err)
	if n := strings.Count(string(clip), "moof"); n != 1 {
		t.Errorf("%d fragments in a snapshot", n)
	}
	if a := streams(t.Context(), operator, "watch", "commands/none"); a.code != 1 || !strings.Contains(a.errors, "it has "+stream) {
		t.Errorf("%d %s", a.code, a.errors)
	}
}
