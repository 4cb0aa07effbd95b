// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamserver

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/httpstream/spdy"
	"k8s.io/client-go/rest"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// client-go leaves a goroutine behind that writes to a channel which nobody reads any more, when a connection ends while it is being forwarded.
const leftBehind = "k8s.io/client-go/tools/portforward.(*PortForwarder).handleConnection.func1"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(leftBehind)) }

var camera = tunnel.StreamKey{Node: "edge-1", Namespace: "yard", Rule: "gate", Path: "/camera"}

// streamServer answers as a StreamServer does, to who has the token.
func streamServer(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/readyz":
		if r.Header.Get("Authorization") != "" {
			http.Error(w, "nobody knows yet who answers", http.StatusTeapot)
		}
	case r.Header.Get("Authorization") != "Bearer secret":
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status"}, Reason: metav1.StatusReasonUnauthorized, Message: "no credentials"})
	case r.URL.Path == "/namespaces/yard/node/edge-1/gate/camera":
		_, _ = io.WriteString(w, `{"state":"idle"}`)
	default:
		http.NotFound(w, r)
	}
}

// apiServer has one pod, whose port leads to target. Without a target it lets nobody in.
func apiServer(t *testing.T, pods []corev1.Pod, target string) *rest.Config {
	t.Helper()
	var joined sync.WaitGroup
	t.Cleanup(joined.Wait)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/kubeedge/pods", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("labelSelector") != "kubeedge=cloudcore" {
			t.Errorf("asked for %s", r.URL)
		}
		_ = json.NewEncoder(w).Encode(corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: pods})
	})
	mux.HandleFunc("POST /api/v1/namespaces/kubeedge/pods/cloudcore/portforward", func(w http.ResponseWriter, r *http.Request) {
		if target == "" {
			http.Error(w, "pods is forbidden", http.StatusForbidden)
			return
		}
		if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err != nil {
			t.Error(err)
			return
		}
		var errs sync.Map // of error streams, which come before those of data
		conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
			id := s.Headers().Get("requestID")
			if s.Headers().Get("streamType") == "error" {
				errs.Store(id, s)
				return nil
			}
			errors, _ := errs.Load(id)
			joined.Go(func() { splice(s, errors.(httpstream.Stream), target) })
			return nil
		})
		if conn != nil {
			joined.Go(func() { <-conn.CloseChan() })
		}
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return &rest.Config{Host: srv.URL, BearerToken: "secret"}
}

func splice(s, errors httpstream.Stream, target string) {
	defer errors.Close()
	c, err := net.Dial("tcp", target)
	if err != nil {
		_, _ = io.WriteString(errors, err.Error())
		_ = s.Reset()
		return
	}
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(c, s)
		c.Close()
	})
	_, _ = io.Copy(s, c)
	_ = s.Reset()
	up.Wait()
}

func pod(ready corev1.ConditionStatus) []corev1.Pod {
	return []corev1.Pod{{
		ObjectMeta: metav1.ObjectMeta{Name: "cloudcore", Namespace: "kubeedge"},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
	}}
}

func options(srv *httptest.Server) Options {
	return Options{Namespace: "kubeedge", Selector: "kubeedge=cloudcore", Port: srv.Listener.Addr().(*net.TCPAddr).Port}
}

// plain and encrypted servers are found behind a port-forward, and get the token only when they are known.
func TestForward(t *testing.T) {
	for name, start := range map[string]func(http.Handler) *httptest.Server{"plain": httptest.NewServer, "TLS": newTLSServer} {
		t.Run(name, func(t *testing.T) {
			srv := start(http.HandlerFunc(streamServer))
			defer srv.Close()
			o := options(srv)
			if srv.TLS != nil {
				o.CAFile, o.ServerName = writeCA(t, srv), "example.com"
			}
			c, err := Connect(t.Context(), apiServer(t, pod(corev1.ConditionTrue), srv.Listener.Addr().String()), o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if state, err := c.State(t.Context(), camera); err != nil || state.State != "idle" {
				t.Errorf("%+v, %v", state, err)
			}
			if !c.Forwarded() || c.Credential() != CredentialToken {
				t.Errorf("forwarded %v, with %s", c.Forwarded(), c.Credential())
			}
		})
	}
}

func TestForwardRefused(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(streamServer))
	defer srv.Close()
	encrypted := newTLSServer(http.HandlerFunc(streamServer))
	defer encrypted.Close()
	for _, c := range []struct {
		name   string
		pods   []corev1.Pod
		target string
		want   string
	}{
		{"no pod", nil, "", Unreachable},
		{"pod not ready", pod(corev1.ConditionFalse), "", Unreachable},
		{"no right", pod(corev1.ConditionTrue), "", NoRightToForward},
		{"port closed", pod(corev1.ConditionTrue), "127.0.0.1:1", Unreachable},
		{"unknown CA", pod(corev1.ConditionTrue), encrypted.Listener.Addr().String(), Untrusted},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Connect(t.Context(), apiServer(t, c.pods, c.target), options(srv))
			var why *ConnectError
			if !errors.As(err, &why) || why.Code != c.want || why.Next == "" {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// A token goes only where it cannot be read on the way.
func TestCredentials(t *testing.T) {
	for _, c := range []struct {
		base string
		api  rest.Config
		want Credential
	}{
		{"https://cloud.example.com:10005", rest.Config{BearerToken: "t"}, CredentialToken},
		{"http://cloud.example.com:10005", rest.Config{BearerToken: "t"}, CredentialWithheld},
		{"http://127.0.0.1:10005", rest.Config{BearerToken: "t"}, CredentialToken},
		{"http://localhost:10005", rest.Config{BearerTokenFile: "f"}, CredentialToken},
		{"http://127.0.0.1.example.com", rest.Config{BearerToken: "t"}, CredentialWithheld},
		{"https://cloud.example.com", rest.Config{TLSClientConfig: rest.TLSClientConfig{CertFile: "c"}}, CredentialCertificate},
		{"https://cloud.example.com", rest.Config{Username: "u", Password: "p"}, CredentialNone},
	} {
		u, err := url.Parse(c.base)
		if err != nil {
			t.Fatal(err)
		}
		own := new(rest.Config)
		if got := (&Client{base: u}).present(own, &c.api, u.Scheme == "https"); got != c.want {
			t.Errorf("%s: %s, want %s", c.base, got, c.want)
		}
		if sent := own.BearerToken != "" || own.BearerTokenFile != ""; sent != (c.want == CredentialToken) || own.Username != "" {
			t.Errorf("%s: sends %v", c.base, own)
		}
	}
}

func TestRefusals(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(streamServer))
	defer srv.Close()
	c, err := Connect(t.Context(), &rest.Config{BearerToken: "other"}, Options{Server: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.State(t.Context(), camera); !apierrors.IsUnauthorized(err) || err.Error() != "no credentials" {
		t.Errorf("%v", err)
	}
	redirect := httptest.NewServer(http.RedirectHandler(srv.URL, http.StatusFound))
	defer redirect.Close()
	if _, err := Connect(t.Context(), &rest.Config{}, Options{Server: redirect.URL}); err == nil || !strings.Contains(err.Error(), "no StreamServer") {
		t.Errorf("%v", err)
	}
}

func newTLSServer(h http.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	return srv
}

func writeCA(t *testing.T, srv *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.crt")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// What a server that is not ready waits for is in the error, for the doctor to print.
func TestNotReady(t *testing.T) {
	const waits = "rules have not been received yet: Nodes not listed yet: Forbidden"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, waits, http.StatusServiceUnavailable)
	}))
	defer srv.Close()
	c, err := Connect(t.Context(), &rest.Config{}, Options{Server: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ready(t.Context()); err == nil || !strings.HasSuffix(err.Error(), ": "+waits) {
		t.Errorf("%v", err)
	}
}
