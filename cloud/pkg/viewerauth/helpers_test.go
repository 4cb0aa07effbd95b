// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// api is an API server whose users have the token "token-NAME", and whose rights are a set of strings.
type api struct {
	mu      sync.Mutex
	users   map[string]bool
	rights  map[string]bool // "USER VERB SUBRESOURCE NAMESPACE/NAME", or "USER VERB PATH"; NAME may be *
	down    bool
	reviews map[string]int // how many of each resource were made
}

func newAPI(rights ...string) *api {
	a := &api{users: make(map[string]bool), rights: make(map[string]bool), reviews: make(map[string]int)}
	for _, r := range rights {
		a.rights[r] = true
		user, _, _ := strings.Cut(r, " ")
		a.users[user] = true
	}
	return a
}

func (a *api) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *api) count(resource string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reviews[resource]
}

var errDown = errors.New("connection refused")

// reviewer is what the product uses, on client-go's fake clientset.
func (a *api) reviewer() Reviewer {
	client := fake.NewSimpleClientset()
	client.PrependReactor("create", "*", func(action kubetesting.Action) (bool, runtime.Object, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.reviews[action.GetResource().Resource]++
		if a.down {
			return true, nil, errDown
		}
		switch o := action.(kubetesting.CreateAction).GetObject().(type) {
		case *authenticationv1.TokenReview:
			name := strings.TrimPrefix(o.Spec.Token, "token-")
			if o = o.DeepCopy(); a.users[name] {
				o.Status.Authenticated = true
				o.Status.User = User{Username: name, Groups: []string{allAuthenticated}}
			}
			return true, o, nil
		case *authorizationv1.SubjectAccessReview:
			o = o.DeepCopy()
			o.Status.Allowed = a.allows(&o.Spec)
			return true, o, nil
		}
		return false, nil, nil
	})
	return NewAPIServer(client)
}

func (a *api) allows(s *authorizationv1.SubjectAccessReviewSpec) bool {
	if n := s.NonResourceAttributes; n != nil {
		return a.rights[s.User+" "+n.Verb+" "+n.Path]
	}
	r := s.ResourceAttributes
	if r.Group != group || r.Resource != resource {
		return false
	}
	prefix := s.User + " " + r.Verb + " " + r.Subresource + " " + r.Namespace + "/"
	return a.rights[prefix+r.Name] || a.rights[prefix+"*"]
}

// newGuard makes a guard and the server behind it, which answers with "USER STREAM".
func newGuard(t *testing.T, a *api) (*Guard, http.Handler) {
	t.Helper()
	g, err := New(Config{Reviewer: a.reviewer(), TicketLifetime: time.Minute, RecheckInterval: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return g, g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := From(r.Context())
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			if err := a.SetCookie(w, true); err != nil {
				t.Error(err)
			}
		}
		for _, header := range []string{"Authorization", "Cookie"} {
			if r.Header.Get(header) != "" {
				t.Errorf("%s reaches the handler", header)
			}
		}
		if strings.Contains(r.RequestURI+r.URL.String()+r.Header.Get(protocolHeader), "ticket=") {
			t.Errorf("the ticket reaches the handler: %s", r.RequestURI)
		}
		_, _ = io.WriteString(w, a.User()+" "+a.Stream.String())
	}))
}

// ask makes a request with header fields "Name: value".
func ask(h http.Handler, method, url, body string, fields ...string) *http.Response {
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func bearer(user string) string { return "Authorization: Bearer token-" + user }

// wantStatus checks a refusal: its code, and that it is a metav1.Status that says so.
func wantStatus(t *testing.T, resp *http.Response, code int, contains string) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != code {
		t.Fatalf("%s, want %d: %s", resp.Status, code, body)
	}
	if code < 400 {
		return
	}
	var s metav1.Status
	if err := json.Unmarshal(body, &s); err != nil || s.Kind != "Status" || int(s.Code) != code {
		t.Errorf("no metav1.Status: %v in %s", err, body)
	}
	if !strings.Contains(s.Message, contains) {
		t.Errorf("message %q, want %q in it", s.Message, contains)
	}
}
