// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/harness"
	"github.com/kubeedge/datastream/tests/poll"
)

// What must be found nowhere. The last password is in an endpoint's URL, which the edge has to know and stores.
const (
	user      = "canary-üser+1"
	password1 = "canary/one p@ss:wörd"
	password2 = "canary/two p@ss:wörd"
	password3 = "canary/three p@ss:wörd"
	urlUser   = "url-canary-user"
	urlPass   = "url-canary/p@ss:w?rd"
)

// TestCanary lets all that can happen to credentials happen.
func TestCanary(t *testing.T) {
	cam := newGuarded(t, user, password1)
	putSecret(t, corev1.SecretTypeBasicAuth, password1)
	stream := apply(t, "secret", cam.url(), &v1alpha1.SecretReference{Name: "camera"})
	other := newGuarded(t, urlUser, urlPass)
	inURL, err := url.Parse(other.url())
	must(t, err)
	inURL.User = url.UserPassword(urlUser, urlPass)
	otherStream := apply(t, "inurl", inURL.String(), nil)

	t.Log("both are watched, in each format")
	pageTexts := watchMSE(t, stream) // before all others: it stays for ever, so the stream never stops for want of viewers
	for _, format := range []string{"mp4", "ts"} {
		watch(t, stream, format)
		watch(t, otherStream, format)
	}
	waitState(t, stream, "streaming", "")
	waitState(t, otherStream, "streaming", "")
	if cam.TotalSessions() != 1 {
		t.Errorf("%d RTSP sessions, want one", cam.TotalSessions())
	}

	t.Log("the Secret is rotated: the session goes on")
	before := unit(t, stream)
	putSecret(t, corev1.SecretTypeBasicAuth, password2)
	eventually(t, "frames behind the rotation", func() bool { return unit(t, stream).After(before.Add(time.Second)) })
	if cam.TotalSessions() != 1 {
		t.Errorf("%d RTSP sessions, want the one of before", cam.TotalSessions())
	}

	t.Log("the camera follows: the next session has the new password")
	cam.restart(t, password2)
	cam.waitPlayed(t)
	waitState(t, stream, "streaming", "")

	t.Log("the camera has another password")
	cam.restart(t, password3)
	other.restart(t, "another one")
	waitState(t, stream, "failed", "AuthenticationFailed")
	waitState(t, otherStream, "failed", "AuthenticationFailed")
	refusals := refused(t, stream) + refused(t, otherStream)

	t.Log("the Secret follows")
	putSecret(t, corev1.SecretTypeBasicAuth, password3)
	cam.waitPlayed(t)
	waitState(t, stream, "streaming", "")

	t.Log("the Secret goes, and is of no use")
	secrets := cluster.Kube.CoreV1().Secrets("default")
	must(t, secrets.Delete(context.Background(), "camera", metav1.DeleteOptions{}))
	waitReady(t, "secret", metav1.ConditionFalse, v1alpha1.ReasonCredentialsMissing)
	eventually(t, "the event of the missing Secret", func() bool { return strings.Contains(events(t), v1alpha1.ReasonCredentialsMissing) })
	waitState(t, stream, "failed", "NotResolved")
	putSecret(t, corev1.SecretTypeOpaque, password3)
	putSecret(t, corev1.SecretTypeBasicAuth, password3+"\n")
	waitReady(t, "secret", metav1.ConditionFalse, v1alpha1.ReasonCredentialsInvalid)
	refusals += refused(t, stream)

	t.Log("and is there again")
	putSecret(t, corev1.SecretTypeBasicAuth, password3)
	watch(t, stream, "mp4")
	waitState(t, stream, "streaming", "")
	waitReady(t, "secret", metav1.ConditionTrue, v1alpha1.ReasonReady)

	outputs := collect(t, stream, otherStream)
	outputs["the page's WebSocket"] = pageTexts.String()
	outputs["refusals"] += refusals
	for name, text := range outputs {
		for _, secret := range []string{user, password1, password2, password3} {
			if found := search(text, secret); found != "" {
				t.Errorf("%s: %s", name, found)
			}
		}
		for _, secret := range []string{urlUser, urlPass} {
			if found := search(text, secret); found != "" && name != "store" && name != "CloudHub" {
				t.Errorf("%s: %s", name, found)
			}
		}
		t.Logf("searched %s: %d bytes", name, len(text))
	}
	// What was searched is what it is thought to be.
	for name, want := range map[string]string{
		"store": urlUser, "CloudHub": `"needsCredentials":true`, "logs": "AuthenticationFailed", "status": "CredentialsInvalid",
		"events": "CredentialsMissing", "refusals": "refused the credentials", "cloud metrics": "datastream_cloud_", "edge metrics": "datastream_edge_", "streams": "/node/edge-1/inurl/camera",
		"page": "<html", "state": "streaming",
	} {
		if !strings.Contains(outputs[name], want) {
			t.Errorf("%s has no %s: %.2000s", name, want, outputs[name])
		}
	}
}

// collect gathers what the system shows of itself.
func collect(t *testing.T, streams ...string) map[string]string {
	t.Helper()
	stored, err := os.ReadFile(storeFile)
	must(t, err)
	base := "http://" + cluster.Viewers
	out := map[string]string{
		"store": string(stored), "CloudHub": messages.String(), "logs": logs.String(), "edge metrics": request(t, "http://"+cluster.EdgeMetrics+"/metrics", ""),
		"status": statuses(t) + history.String(), "events": events(t),
		"cloud metrics": request(t, base+"/metrics", ""), "streams": request(t, base+"/streams", ""),
		"refusals": request(t, base+"/node/x/y/z", "") + request(t, base+"/node/"+node+"/y/z", ""),
	}
	for _, s := range streams {
		out["state"] += request(t, s+"?format=state", "")
		out["page"] += request(t, s, "text/html")
	}
	return out
}

// events are those that the controller has told.
func events(t *testing.T) string {
	t.Helper()
	list, err := cluster.Kube.CoreV1().Events("").List(context.Background(), metav1.ListOptions{})
	must(t, err)
	return dump(t, list)
}

// statuses are those of all rules and endpoints.
func statuses(t *testing.T) string {
	t.Helper()
	api := cluster.Client.StreamrulesV1alpha1()
	rules, err := api.StreamRules("").List(context.Background(), metav1.ListOptions{})
	must(t, err)
	endpoints, err := api.StreamRuleEndpoints("").List(context.Background(), metav1.ListOptions{})
	must(t, err)
	for i := range endpoints.Items {
		endpoints.Items[i].Spec.URL = "" // what somebody has written into it, anybody reads there
	}
	return dump(t, rules) + dump(t, endpoints)
}

func dump(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

// guarded is a camera that asks for a password, which may change.
type guarded struct {
	*camera.Camera
	user, address string
}

func newGuarded(t *testing.T, user, password string) *guarded {
	t.Helper()
	g := &guarded{user: user}
	g.start(t, password)
	g.address = g.Address()
	t.Cleanup(func() { g.Close() })
	return g
}

func (g *guarded) start(t *testing.T, password string) {
	t.Helper()
	var err error
	g.Camera, err = camera.Start(camera.Config{Address: g.address, Username: g.user, Password: password})
	must(t, err)
}

func (g *guarded) restart(t *testing.T, password string) {
	t.Helper()
	g.Close()
	g.start(t, password)
}

// waitPlayed waits until the camera, as it is since its last start, has let somebody in.
func (g *guarded) waitPlayed(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(t, g.WaitSessions(ctx, func(_, total int) bool { return total > 0 }))
}

func (g *guarded) url() string { return g.URL() }

func putSecret(t *testing.T, kind corev1.SecretType, password string) {
	t.Helper()
	api := cluster.Kube.CoreV1().Secrets("default")
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "camera"}, Type: kind, Data: map[string][]byte{"username": []byte(user), "password": []byte(password)},
	}
	_, err := api.Update(context.Background(), s, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = api.Create(context.Background(), s, metav1.CreateOptions{})
	}
	must(t, err)
}

// apply makes an endpoint and a rule of that name, and returns the stream's URL.
func apply(t *testing.T, name, url string, ref *v1alpha1.SecretReference) string {
	t.Helper()
	ctx := context.Background()
	e := &v1alpha1.StreamRuleEndpoint{ObjectMeta: metav1.ObjectMeta{Name: name}}
	e.Spec.URL, e.Spec.CredentialsSecretRef = url, ref
	must(t, harness.ApplyEndpoint(ctx, cluster.Client, e))
	rule := &v1alpha1.StreamRule{ObjectMeta: metav1.ObjectMeta{Name: name}}
	rule.Spec.Targets = []v1alpha1.StreamTarget{{EndpointRef: name, TargetResource: v1alpha1.TargetResource{NodeName: node, Path: "/camera"}}}
	must(t, harness.ApplyRule(ctx, cluster.Client, rule))
	stream := "http://" + cluster.Viewers + "/node/" + node + "/" + name + "/camera"
	t.Cleanup(func() {
		api := cluster.Client.StreamrulesV1alpha1()
		must(t, api.StreamRules("default").Delete(ctx, name, metav1.DeleteOptions{}))
		must(t, api.StreamRuleEndpoints("default").Delete(ctx, name, metav1.DeleteOptions{}))
		eventually(t, "the end of "+name, func() bool {
			code, _, _ := get(t, stream+"?format=state", "")
			return code == http.StatusNotFound
		})
	})
	eventually(t, "the tunnel of "+name, func() bool { return state(t, stream).State == "idle" })
	return stream
}

// request returns the header and the body of an answer as one text.
func request(t *testing.T, url, accept string) string {
	t.Helper()
	_, header, body := get(t, url, accept)
	return fmt.Sprint(header) + string(body)
}

// refused returns what somebody is told who wants to see a stream that has no picture.
func refused(t *testing.T, stream string) (answer string) {
	t.Helper()
	eventually(t, "a refusal", func() bool {
		code, header, body := get(t, stream+"?format=mp4", "")
		answer = fmt.Sprint(header) + string(body)
		return code == http.StatusServiceUnavailable
	})
	return answer
}

// get asks, and then reads for at most a few seconds: an answer may go on for ever.
func get(t *testing.T, url, accept string) (int, http.Header, []byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	must(t, err)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	defer time.AfterFunc(3*time.Second, cancel).Stop()
	body, err := io.ReadAll(resp.Body)
	if ctx.Err() == nil {
		must(t, err)
	}
	return resp.StatusCode, resp.Header, body
}

func state(t *testing.T, stream string) (s output.Status) {
	t.Helper()
	_, _, body := get(t, stream+"?format=state", "")
	must(t, json.Unmarshal(body, &s))
	return s
}

func unit(t *testing.T, stream string) time.Time {
	t.Helper()
	return state(t, stream).LastUnit
}

func waitState(t *testing.T, stream, want, reason string) {
	t.Helper()
	eventually(t, want+" "+reason+" of "+stream, func() bool {
		s := state(t, stream)
		return s.State == want && s.Reason == reason
	})
	_, _ = history.Write([]byte(statuses(t)))
}

func waitReady(t *testing.T, endpoint string, want metav1.ConditionStatus, reason string) {
	t.Helper()
	eventually(t, "endpoint Ready "+string(want)+" "+reason, func() bool {
		e, err := cluster.Client.StreamrulesV1alpha1().StreamRuleEndpoints("default").Get(context.Background(), endpoint, metav1.GetOptions{})
		must(t, err)
		c := meta.FindStatusCondition(e.Status.Conditions, v1alpha1.ConditionReady)
		return c != nil && c.Status == want && c.Reason == reason
	})
	_, _ = history.Write([]byte(statuses(t)))
}

// watch views a stream, again and again, until the test ends.
func watch(t *testing.T, stream, format string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, stream+"?format="+format, nil)
			if err != nil {
				return
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// watchMSE views a stream as the page does, and returns the text messages that it gets.
func watchMSE(t *testing.T, stream string) *buffer {
	t.Helper()
	ws, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(stream, "http"), nil)
	must(t, err)
	resp.Body.Close()
	texts, done := &buffer{}, make(chan struct{})
	go func() {
		defer close(done)
		for {
			kind, message, err := ws.ReadMessage()
			if err != nil {
				_, _ = texts.Write([]byte(err.Error()))
				return
			}
			if kind == websocket.TextMessage {
				_, _ = texts.Write(message)
			}
		}
	}()
	t.Cleanup(func() { ws.Close(); <-done })
	return texts
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually asks again until ok; it is for what nothing signals from outside, such as the answer to a request.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	poll.Until(t, patience, what, ok)
}
