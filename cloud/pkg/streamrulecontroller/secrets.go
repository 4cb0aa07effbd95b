// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const (
	// maxSecrets bounds the Secrets that are watched: each is a watch of its own.
	maxSecrets = 1024
	// listTimeout bounds one try to read a Secret.
	listTimeout = 5 * time.Second
	// forbiddenGrace is how long a Secret that was never read has to be forbidden until that is believed: an API server that has just started
	// may refuse what it allows, and an upgrade may start cloudcore before it brings its rights.
	forbiddenGrace = 5 * time.Minute
)

// secretState is what is known of a Secret. Credentials may come with a problem: a Secret that was read and may no longer be stays in use.
type secretState struct {
	credentials tunnel.Credentials // for no origin yet
	problem     *problem
	// unknown says that there was no answer yet that could be believed, for the reason that problem gives: the Secret may hold anything.
	unknown bool
}

func (s secretState) equal(other secretState) bool {
	return s.credentials == other.credentials && s.unknown == other.unknown && sameProblem(s.problem, other.problem)
}

// known says whether the Secret, or that it cannot be used, is known. What is known stays so until something else is.
func (s secretState) known() bool { return s.problem != nil && !s.unknown || !s.credentials.IsZero() }

// secrets knows the Secrets that endpoints refer to. It watches each by its name, so that a right to those names is enough, and
// only as long as an endpoint refers to it. Of a Secret it keeps nothing but the credentials.
type secrets struct {
	client  typedcorev1.SecretsGetter  // nil: none can be read
	changed func(types.NamespacedName) // a Secret, in what is known of it

	running sync.WaitGroup
	mu      sync.Mutex
	ctx     context.Context                               // ends the watches; nil before start
	refs    map[types.NamespacedName]types.NamespacedName // endpoint → Secret
	watches map[types.NamespacedName]*secretWatch
	active  int // watches that run
}

// secretWatch follows one Secret.
type secretWatch struct {
	name      types.NamespacedName
	users     int                // endpoints that refer to it
	cancel    context.CancelFunc // nil if there was no room for it
	tried     bool               // the first try to read it has ended
	forbidden time.Time          // since when each try said so, while the Secret is not known; zero if the last one did not
	state     secretState
}

func newSecrets(client typedcorev1.SecretsGetter, changed func(types.NamespacedName)) *secrets {
	return &secrets{
		client: client, changed: changed,
		refs: make(map[types.NamespacedName]types.NamespacedName), watches: make(map[types.NamespacedName]*secretWatch),
	}
}

// start lets the watches that begin from now on run until ctx ends.
func (s *secrets) start(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = ctx
}

// wait waits for the end of the watches. Nobody may refer to a Secret any more.
func (s *secrets) wait() { s.running.Wait() }

// refer takes note that an endpoint refers to that Secret of its namespace, or to none.
func (s *secrets) refer(endpoint types.NamespacedName, ref *streamrules.SecretReference) {
	if s.client == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was, had := s.refs[endpoint]
	if ref != nil {
		name := types.NamespacedName{Namespace: endpoint.Namespace, Name: ref.Name}
		if had && was == name {
			return
		}
		s.refs[endpoint] = name
		s.use(name)
	} else {
		delete(s.refs, endpoint)
	}
	if had {
		s.release(was)
	}
}

// The next three are called with the mutex held.

func (s *secrets) use(name types.NamespacedName) {
	w := s.watches[name]
	if w == nil {
		w = &secretWatch{name: name}
		s.watches[name] = w
		s.begin(w)
	}
	w.users++
}

func (s *secrets) begin(w *secretWatch) {
	if s.active == maxSecrets {
		w.tried, w.state.problem = true, tooManySecrets
		return
	}
	s.active++
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(s.ctx)
	s.running.Go(func() { s.watch(ctx, w) })
}

func (s *secrets) release(name types.NamespacedName) {
	w := s.watches[name]
	if w.users--; w.users > 0 {
		return
	}
	delete(s.watches, name)
	if w.cancel == nil {
		return
	}
	w.cancel()
	s.active--
	for _, waits := range s.watches {
		if waits.cancel == nil {
			s.begin(waits)
			return
		}
	}
}

var tooManySecrets = &problem{
	streamrules.ReasonCredentialsMissing, fmt.Sprintf("cloudcore reads at most %d Secrets: let cameras with the same user share one", maxSecrets),
}

// get returns what is known of a Secret. It reports false during the first try to read it: changed is called at its end.
func (s *secrets) get(name types.NamespacedName) (state secretState, tried bool) {
	if s.client == nil {
		return secretState{problem: &problem{
			streamrules.ReasonCredentialsMissing, fmt.Sprintf("Secret %s cannot be read: this cloudcore reads no Secrets", name),
		}}, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watches[name]
	if w == nil || !w.tried { // nil: the endpoint's event is still on its way
		return secretState{problem: notRead(name, "it is being read"), unknown: true}, false
	}
	return w.state, true
}

// notRead is the problem of a Secret of which nothing is known.
func notRead(name types.NamespacedName, why any) *problem {
	return &problem{
		streamrules.ReasonCredentialsUnknown, fmt.Sprintf("Secret %s could not be read yet, and nodes go on with what they have: %v", name, why),
	}
}

// tried says whether there was a try to read every Secret, with or without success.
func (s *secrets) tried() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watches {
		if !w.tried {
			return false
		}
	}
	return true
}

// watch follows a Secret until ctx ends.
func (s *secrets) watch(ctx context.Context, w *secretWatch) {
	api := s.client.Secrets(w.name.Namespace)
	byName := func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, w.name.Name).String()
	}
	cache.NewReflectorWithOptions(&cache.ListWatch{
		ListFunc: func(o metav1.ListOptions) (runtime.Object, error) {
			byName(&o)
			ctx, cancel := context.WithTimeout(ctx, listTimeout)
			defer cancel()
			list, err := api.List(ctx, o)
			if err != nil {
				s.failed(w, err)
				return nil, err
			}
			return list, nil
		},
		WatchFunc: func(o metav1.ListOptions) (watch.Interface, error) {
			byName(&o)
			return api.Watch(ctx, o)
		},
	}, &corev1.Secret{}, secretStore{name: w.name.Name, take: func(found *corev1.Secret) { s.take(w, found) }}, cache.ReflectorOptions{
		Name: "credentials of endpoints",
	}).Run(ctx.Done())
}

// take takes the Secret as it is now; nil is none.
func (s *secrets) take(w *secretWatch, found *corev1.Secret) {
	var state secretState
	state.credentials, state.problem = readSecret(w.name, found)
	s.set(w, state)
}

// failed takes note that the Secret cannot be read. That the API server cannot answer says nothing about the Secret, and what was known of it stays. That it
// is forbidden is an answer too, but for one that was never read it has to last.
func (s *secrets) failed(w *secretWatch, err error) {
	s.mu.Lock()
	state := w.state
	forbidden := w.note(apierrors.IsForbidden(err), time.Now())
	s.mu.Unlock()
	switch {
	case apierrors.IsForbidden(err):
		message := fmt.Sprintf("cloudcore may not read Secret %s: let a Role allow it to list and watch Secrets of that name (docs/security.md)", w.name)
		if !state.credentials.IsZero() {
			message += "; what was read before stays in use"
		}
		state.unknown = !state.known() && forbidden < forbiddenGrace
		state.problem = &problem{streamrules.ReasonCredentialsForbidden, message}
	case state.known() || state.problem != nil && state.problem.reason == streamrules.ReasonCredentialsUnknown:
		return // the first error stands for those that follow, which may differ each time
	default:
		state.problem, state.unknown = notRead(w.name, err), true
	}
	s.set(w, state)
}

// note takes note whether the Secret is forbidden, and returns for how long it has been that. The mutex is held.
func (w *secretWatch) note(forbidden bool, now time.Time) time.Duration {
	switch {
	case !forbidden:
		w.forbidden = time.Time{}
		return 0
	case w.forbidden.IsZero():
		w.forbidden = now
	}
	return now.Sub(w.forbidden)
}

func (s *secrets) set(w *secretWatch, state secretState) {
	s.mu.Lock()
	same := w.tried && w.state.equal(state) || s.watches[w.name] != w
	rotated := !w.state.credentials.IsZero() && !state.credentials.IsZero() && w.state.credentials != state.credentials
	w.tried, w.state = true, state
	s.mu.Unlock()
	if same {
		return
	}
	switch {
	case state.problem != nil:
		klog.InfoS("Credentials cannot be used", "secret", w.name, "reason", state.problem.reason, "message", state.problem.message)
	case rotated:
		klog.InfoS("Credentials have changed", "secret", w.name)
	}
	s.changed(w.name)
}
