// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	kubefake "k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// vault stands in for the API server's Secrets. It shows only those that the selector of a list or watch names, as RBAC by
// resourceNames needs it.
type vault struct {
	*testing.T
	*kubefake.Clientset

	mu       sync.Mutex
	broken   error          // nil: it answers
	watching map[string]int // open watches by name
	changed  chan struct{}  // closed and replaced when watching changes
}

func newVault(t *testing.T, secrets ...runtime.Object) *vault {
	t.Helper()
	v := &vault{T: t, Clientset: kubefake.NewSimpleClientset(secrets...), watching: make(map[string]int), changed: make(chan struct{})}
	v.PrependReactor("list", "secrets", func(action kubetesting.Action) (bool, runtime.Object, error) {
		name := v.named(action.(kubetesting.ListAction).GetListRestrictions().Fields.RequiresExactMatch("metadata.name"))
		if err := v.failure(); err != nil {
			return true, nil, err
		}
		list := &corev1.SecretList{}
		if obj, err := v.Tracker().Get(action.GetResource(), action.GetNamespace(), name); err == nil {
			list.Items = append(list.Items, *obj.(*corev1.Secret))
		}
		return true, list, nil
	})
	v.PrependWatchReactor("secrets", func(action kubetesting.Action) (bool, watch.Interface, error) {
		name := v.named(action.(kubetesting.WatchAction).GetWatchRestrictions().Fields.RequiresExactMatch("metadata.name"))
		w, err := v.Tracker().Watch(action.GetResource(), action.GetNamespace())
		if err != nil {
			return true, nil, err
		}
		// The tracker does not show what happened since the list.
		if obj, err := v.Tracker().Get(action.GetResource(), action.GetNamespace(), name); err == nil {
			w.(*watch.RaceFreeFakeWatcher).Modify(obj)
		}
		v.count(name, 1)
		return true, &countedWatch{Interface: w, ended: sync.OnceFunc(func() { v.count(name, -1) })}, nil
	})
	return v
}

type countedWatch struct {
	watch.Interface
	ended func()
}

func (w *countedWatch) Stop() {
	w.Interface.Stop()
	w.ended()
}

func (v *vault) named(name string, exact bool) string {
	if !exact {
		v.Error("Secrets were asked for without a name")
	}
	return name
}

func (v *vault) count(name string, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watching[name] += n; v.watching[name] == 0 {
		delete(v.watching, name)
	}
	close(v.changed)
	v.changed = make(chan struct{})
}

// setBroken has lists fail from now on; nil mends them.
func (v *vault) setBroken(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.broken = err
}

func (v *vault) failure() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.broken
}

var forbidden = apierrors.NewForbidden(corev1.Resource("secrets"), "cam", errors.New("no rule allows it"))

func (*vault) name(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name}
}

// wantWatches waits until precisely those Secrets are watched, each once.
func (v *vault) wantWatches(names ...string) {
	v.Helper()
	late := time.After(patience)
	for {
		v.mu.Lock()
		got, changed := maps.Clone(v.watching), v.changed
		v.mu.Unlock()
		if slices.Equal(slices.Sorted(maps.Keys(got)), names) {
			return
		}
		select {
		case <-changed:
		case <-late:
			v.Fatalf("watches %v, want %q", got, names)
		}
	}
}

func (v *vault) put(s *corev1.Secret) {
	v.Helper()
	api := v.CoreV1().Secrets(s.Namespace)
	_, err := api.Update(context.Background(), s, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = api.Create(context.Background(), s, metav1.CreateOptions{})
	}
	if err != nil {
		v.Fatal(err)
	}
}

func (v *vault) remove(name string) {
	v.Helper()
	if err := v.CoreV1().Secrets("default").Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		v.Fatal(err)
	}
}

func basicAuth(name, username, password string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Type: corev1.SecretTypeBasicAuth,
		Data: map[string][]byte{"username": []byte(username), "password": []byte(password)},
	}
}

func endpointWithSecret(name, url, secret string) *streamrules.StreamRuleEndpoint {
	e := endpoint(name, url)
	e.Spec.CredentialsSecretRef = &streamrules.SecretReference{Name: secret}
	return e
}

// wantCredentials takes directories until the only target has those credentials and that problem.
func (h *harness) wantCredentials(want tunnel.Credentials, problem string) {
	h.Helper()
	var got assignment.NodeDirectory
	for range 20 {
		got = h.directory()
		if len(got.Entries) == 1 && got.Entries[0].Credentials == want && strings.Contains(got.Entries[0].Problem, problem) &&
			(problem == "") == (got.Entries[0].Problem == "") {
			return
		}
	}
	h.Fatalf("the directory is %+v, want credentials of %q and problem %q", got, want.Username(), problem)
}

// Credentials follow their Secret, to CloudDataStream only.
func TestCredentials(t *testing.T) {
	v := newVault(t, basicAuth("cam", "viewer", "canary-1"))
	h := newHarnessWithSecrets(t, v.CoreV1(), endpointWithSecret("cam", "rtsp://Camera:554/s", "cam"), rule("door", "cam edge-1 /p"))
	first := tunnel.NewCredentials("rtsp://camera:554", "viewer", "canary-1")
	h.wantCredentials(first, "")
	a := h.wantAssignment("edge-1", "door/p rtsp://Camera:554/s")
	if !a.Targets[0].NeedsCredentials || strings.Contains(fmt.Sprintf("%#v", a), "canary") {
		t.Errorf("the assignment is %+v", a)
	}
	h.confirm(a)
	v.wantWatches("cam")

	v.put(basicAuth("cam", "viewer", "canary-2"))
	h.wantCredentials(tunnel.NewCredentials("rtsp://camera:554", "viewer", "canary-2"), "")
	h.quiet() // another password is no other assignment

	h.clock.Step(time.Minute)
	v.remove("cam")
	h.wantCredentials(tunnel.Credentials{}, "Secret default/cam does not exist; make it: kubectl -n default create secret")
	h.confirm(h.wantAssignment("edge-1"))
	h.syncAgain()
	h.clock.Step(time.Minute)
	v.put(basicAuth("cam", "viewer", "canary-1"))
	h.wantCredentials(first, "")
	if again := h.wantAssignment("edge-1", "door/p rtsp://Camera:554/s"); again.Revision != a.Revision {
		t.Errorf("revision %s, want %s", again.Revision, a.Revision)
	}
}

// A Secret is watched while an endpoint refers to it, once however many there are.
func TestSecretsAreWatchedWhileReferredTo(t *testing.T) {
	v := newVault(t, basicAuth("a", "u", "p"), basicAuth("b", "u", "p"), basicAuth("other", "u", "p"))
	h := newHarnessWithSecrets(t, v.CoreV1(), endpointWithSecret("one", "rtsp://one/", "a"), endpointWithSecret("two", "rtsp://two/", "a"), endpoint("three", "rtsp://three/"))
	v.wantWatches("a")
	h.update(endpointWithSecret("three", "rtsp://three/", "b"))
	v.wantWatches("a", "b")
	h.update(endpointWithSecret("one", "rtsp://one/", "b"))
	v.wantWatches("a", "b")
	h.update(endpointWithSecret("two", "rtsp://two/", "b"))
	v.wantWatches("b")
	h.update(endpoint("three", "rtsp://three/"))
	h.update(endpoint("two", "rtsp://two/"))
	if err := h.api.StreamRuleEndpoints("default").Delete(context.Background(), "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	v.wantWatches()
}

// Nothing is sent before the Secrets are known: a cloudcore that starts must not take targets away from nodes.
func TestSecretsAreReadFirst(t *testing.T) {
	v := newVault(t, basicAuth("cam", "u", "p"))
	reading, read := make(chan struct{}), make(chan struct{})
	v.PrependReactor("list", "secrets", func(kubetesting.Action) (bool, runtime.Object, error) {
		reading <- struct{}{}
		<-read
		return false, nil, nil
	})
	h := newHarnessWithSecrets(t, v.CoreV1(), endpointWithSecret("cam", "rtsp://cam/", "cam"), rule("door", "cam edge-1 /p"))
	receiveOne(t, "question for the Secret", reading)
	select {
	case m := <-h.cloud:
		t.Errorf("%T before the Secret was read", m)
	case a := <-h.edge:
		t.Errorf("assignment with %d targets before the Secret was read", len(a.Targets))
	case <-time.After(300 * time.Millisecond): // the caches are looked at every 100 ms
	}
	close(read)
	h.wantDirectory("edge-1", "default/door/p")
	h.wantAssignment("edge-1", "door/p rtsp://cam/")
}

// An endpoint that refers to another Secret keeps its targets while that is being read.
func TestOtherSecretWithoutGap(t *testing.T) {
	v := newVault(t, basicAuth("a", "u", "p"), basicAuth("b", "u", "q"))
	h := newHarnessWithSecrets(t, v.CoreV1(), endpointWithSecret("cam", "rtsp://cam/", "a"), rule("door", "cam edge-1 /p"))
	h.settle()
	for i, secret := range []string{"b", "a", "b"} {
		h.update(endpointWithSecret("cam", "rtsp://cam/", secret))
		want := tunnel.NewCredentials("rtsp://cam", "u", map[string]string{"a": "p", "b": "q"}[secret])
		if d := h.directory(); len(d.Entries) != 1 || d.Entries[0].Credentials != want {
			t.Fatalf("change %d: %+v", i, d)
		}
	}
	h.quiet()
}

// What is wrong with a Secret is said of the endpoint and of the rule's targets, and never what it holds.
func TestSecretProblems(t *testing.T) {
	typed := func(kind corev1.SecretType) *corev1.Secret {
		s := basicAuth("cam", "canary-user", "canary-password")
		s.Type = kind
		return s
	}
	without := func(key string) *corev1.Secret {
		s := basicAuth("cam", "canary-user", "canary-password")
		delete(s.Data, key)
		return s
	}
	for name, tc := range map[string]struct {
		secret  *corev1.Secret
		reason  string
		message string
		state   streamrules.TargetState
	}{
		"missing":    {nil, "CredentialsMissing", "does not exist; make it", "endpoint-missing"},
		"opaque":     {typed("Opaque"), "CredentialsMissing", "is of type Opaque and must be of kubernetes.io/basic-auth", "endpoint-missing"},
		"no user":    {without("username"), "CredentialsMissing", "has no key username", "endpoint-missing"},
		"no pass":    {without("password"), "CredentialsMissing", "has no key password", "endpoint-missing"},
		"line break": {basicAuth("cam", "canary-user", "canary-password\n"), "CredentialsInvalid", "the password ends in a line break", "failed"},
		"huge":       {basicAuth("cam", "canary-user", strings.Repeat("canary", 1000)), "CredentialsInvalid", "more than 1024 bytes", "failed"},
		"empty user": {basicAuth("cam", "", "canary-password"), "CredentialsInvalid", "the user name is empty", "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			if tc.secret != nil {
				v.put(tc.secret)
			}
			h := newHarnessWithSecrets(t, v.CoreV1(), endpointWithSecret("cam", "rtsp://cam/", "cam"), endpoint("free", "rtsp://free/"),
				rule("door", "cam edge-1 /p", "free edge-1 /q"))
			d := h.directory()
			if len(d.Entries) != 2 || !strings.Contains(d.Entries[0].Problem, tc.message) || d.Entries[1].Problem != "" {
				t.Errorf("directory %+v", d)
			}
			h.wantAssignment("edge-1", "door/q rtsp://free/")

			all, targets, known := h.c.rules.resolve("edge-1")
			if !known || len(targets) != 1 || all[0].problem.reason != tc.reason || !all[0].problem.unresolved() {
				t.Errorf("resolved to %+v, %t", all, known)
			}
			status := statusOf(rule("door", "cam edge-1 /p"), []observation{{spec: &rule("door", "cam edge-1 /p").Spec.Targets[0], problem: all[0].problem}}, start)
			if got := status.Targets[0]; got.State != tc.state || got.Reason != tc.reason || !strings.Contains(got.Message, tc.message) {
				t.Errorf("target is %+v", got)
			}
			if c := meta.FindStatusCondition(status.Conditions, streamrules.ConditionEndpointsResolved); c.Status != metav1.ConditionFalse || c.Reason != tc.reason {
				t.Errorf("EndpointsResolved is %+v", c)
			}
			e := h.endpointStatus("cam")
			if c := meta.FindStatusCondition(e.Conditions, streamrules.ConditionReady); c.Status != metav1.ConditionFalse || c.Reason != tc.reason ||
				!strings.Contains(c.Message, tc.message) {
				t.Errorf("Ready is %+v", c)
			}
			if all := fmt.Sprintf("%+v %+v %+v", d, status, e); strings.Contains(all, "canary") {
				t.Error(all)
			}
		})
	}
}

// endpointStatus is what would be written of an endpoint now.
func (h *harness) endpointStatus(name string) streamrules.StreamRuleEndpointStatus {
	h.Helper()
	e, err := h.c.rules.endpoints.StreamRuleEndpoints("default").Get(name)
	if err != nil {
		h.Fatal(err)
	}
	problem, known := h.c.rules.problemOf(e)
	if !known {
		h.Fatal("the Secret is still being read")
	}
	return endpointStatusOf(e, problem, start)
}

// What is known of a Secret stays until something else is.
func TestSecretStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecrets(nil, func(types.NamespacedName) {})
		name := types.NamespacedName{Namespace: "default", Name: "cam"}
		w := &secretWatch{name: name, users: 1}
		s.watches[name] = w
		broken := fmt.Errorf("the API server is on its way")
		want := func(step, reason, message string, unknown, credentials bool) {
			t.Helper()
			p := w.state.problem
			if p == nil {
				p = &problem{}
			}
			if p.reason != reason || !strings.Contains(p.message, message) || w.state.unknown != unknown || w.state.credentials.IsZero() == credentials {
				t.Errorf("%s: %+v, %+v", step, w.state, w.state.problem)
			}
		}
		if s.tried() {
			t.Error("it was tried")
		}
		s.failed(w, broken)
		want("broken", streamrules.ReasonCredentialsUnknown, broken.Error(), true, false)
		if !s.tried() {
			t.Error("a failure is no try")
		}
		time.Sleep(time.Hour)
		s.failed(w, fmt.Errorf("it is still on its way"))
		want("for an hour", streamrules.ReasonCredentialsUnknown, broken.Error(), true, false)

		// A refusal is believed once there was nothing else for long enough.
		s.failed(w, forbidden)
		want("forbidden", streamrules.ReasonCredentialsForbidden, "cloudcore may not read Secret default/cam: let a Role", true, false)
		time.Sleep(forbiddenGrace - 1)
		s.failed(w, forbidden)
		want("forbidden for a while", streamrules.ReasonCredentialsForbidden, "", true, false)
		s.failed(w, broken)
		want("broken again", streamrules.ReasonCredentialsUnknown, "", true, false)
		s.failed(w, forbidden)
		want("forbidden again", streamrules.ReasonCredentialsForbidden, "", true, false)
		time.Sleep(forbiddenGrace)
		s.failed(w, forbidden)
		want("forbidden for good", streamrules.ReasonCredentialsForbidden, "", false, false)
		s.failed(w, broken)
		want("broken when it was forbidden", streamrules.ReasonCredentialsForbidden, "", false, false)

		s.take(w, basicAuth("cam", "u", "p"))
		want("allowed", "", "", false, true)
		s.failed(w, forbidden)
		want("not allowed any more", streamrules.ReasonCredentialsForbidden, "what was read before stays in use", false, true)
		time.Sleep(2 * forbiddenGrace)
		s.failed(w, forbidden)
		s.failed(w, broken)
		want("for long", streamrules.ReasonCredentialsForbidden, "what was read before stays in use", false, true)

		s.take(w, nil)
		want("gone", streamrules.ReasonCredentialsMissing, "does not exist", false, false)
		s.failed(w, broken)
		want("gone and broken", streamrules.ReasonCredentialsMissing, "does not exist", false, false)
		s.failed(w, forbidden)
		want("gone and forbidden", streamrules.ReasonCredentialsForbidden, "", false, false)
	})
}

// The number of watches is bounded, and who waited for room gets it.
func TestSecretsAreBounded(t *testing.T) {
	v := newVault(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := newSecrets(v.CoreV1(), func(types.NamespacedName) {})
	s.start(ctx)
	defer s.wait()
	defer cancel()
	s.active = maxSecrets - 1 // those of others
	name := func(n string) types.NamespacedName { return types.NamespacedName{Namespace: "default", Name: n} }
	s.refer(name("one"), &streamrules.SecretReference{Name: "a"})
	s.refer(name("two"), &streamrules.SecretReference{Name: "b"})
	v.wantWatches("a")
	if state, known := s.get(name("b")); !known || state.problem != tooManySecrets {
		t.Errorf("beyond the bound: %+v, %t", state, known)
	}
	s.refer(name("one"), nil)
	v.wantWatches("b")
}

// Without a client for Secrets the endpoint says so.
func TestNoSecrets(t *testing.T) {
	h := newHarness(t, endpointWithSecret("cam", "rtsp://cam/", "cam"), rule("door", "cam edge-1 /p"))
	h.wantDirectory("edge-1", "default/door/p: Secret default/cam cannot be read: this cloudcore reads no Secrets")
}
