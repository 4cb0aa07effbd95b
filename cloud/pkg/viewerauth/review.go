// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"

	"github.com/kubeedge/datastream/cloud/pkg/limit"
)

const (
	// yesTTL and noTTL are how long an answer is remembered. A yes outlives a revoked right by that; a no is asked
	// again soon, since somebody may be trying out a new RoleBinding.
	yesTTL = 10 * time.Second
	noTTL  = 3 * time.Second
	// cacheSize bounds the answers of either kind: an attacker's tokens push out others, and cost no memory.
	cacheSize = 4096
	// reviewTimeout is the time for one question.
	reviewTimeout = 5 * time.Second
	// listTTL is how long it is remembered whether somebody may list the rules of a namespace: there may be thousands of those.
	listTTL = 30 * time.Second
	// strangersPerSecond bounds the questions about tokens that nobody has shown before, and askersPerSecond those about what users may do
	// who do not watch yet: together what cloudcore lets itself ask, since those who watch ask far less.
	strangersPerSecond, strangersAhead = 50, 200
	askersPerSecond, askersAhead       = 50, 400
)

// errUnauthenticated is the answer to credentials that are of nobody, or not any more.
var errUnauthenticated = errors.New("unauthenticated")

// User is who somebody is, in the API server's words.
type User = authenticationv1.UserInfo

// Reviewer knows who people are and what they may do: the API server, or a test.
type Reviewer interface {
	// Authenticate returns whose a bearer token is, or nil if it is nobody's.
	Authenticate(ctx context.Context, token string) (*User, error)
	// Authorize says whether that is allowed.
	Authorize(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, error)
}

// APIServer asks the API server, with TokenReviews and SubjectAccessReviews.
type APIServer struct{ client kubernetes.Interface }

// NewAPIServer makes a Reviewer of a client. The client's rate bounds what viewers can ask of the API server, so it
// should not be shared with those whose work must go on.
func NewAPIServer(client kubernetes.Interface) *APIServer { return &APIServer{client} }

// Authenticate implements Reviewer.
func (a *APIServer) Authenticate(ctx context.Context, token string) (*User, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	review, err := a.client.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return nil, nil // not the form of a token
	}
	if err != nil {
		return nil, fmt.Errorf("reviewing a token: %w", err)
	}
	if !review.Status.Authenticated {
		return nil, nil // status.error says why; it may speak of the API server's inside
	}
	return &review.Status.User, nil
}

// Authorize implements Reviewer.
func (a *APIServer) Authorize(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	review, err := a.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("reviewing access: %w", err)
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}

// reviews remembers a Reviewer's answers. k8s.io/apiserver has the same as delegating authenticators and authorizers, but its
// cache of tokens has no bound, a bad answer is retried for seconds, and it would link gRPC into all that serves viewers.
type reviews struct {
	reviewer Reviewer
	// strangers and askers bound the questions, so that those who watch are always asked for. No source of unknown tokens, and no
	// user who asks for ever new rules, has more than all leave free.
	strangers *limit.Turns[limit.Source]
	askers    *limit.Turns[string]
	users     memory[*User]
	rights    memory[bool]
}

func newReviews(r Reviewer) *reviews {
	return &reviews{
		reviewer:  r,
		strangers: limit.NewTurns[limit.Source](time.Second/strangersPerSecond, strangersAhead),
		askers:    limit.NewTurns[string](time.Second/askersPerSecond, askersAhead),
		users:     newMemory[*User](), rights: newMemory[bool](),
	}
}

// user returns whose a token is, or errUnauthenticated, limit.ErrShare or limit.ErrFull.
func (r *reviews) user(ctx context.Context, t token) (*User, error) {
	key := sha256.Sum256([]byte(t.value)) // no token is kept
	u, err := r.users.recall(ctx, string(key[:]), func(ctx context.Context) (*User, time.Duration, error) {
		if !t.known {
			if _, err := r.strangers.Take(t.source, time.Now()); err != nil {
				return nil, 0, fmt.Errorf("asking about an unknown token: %w", err)
			}
		}
		u, err := r.reviewer.Authenticate(ctx, t.value)
		return u, ttl(u != nil), err
	})
	if err == nil && u == nil {
		return nil, errUnauthenticated
	}
	return u, err
}

// allowed says whether u, who does not watch yet, has that right. The errors are the API server's, limit.ErrShare and limit.ErrFull.
func (r *reviews) allowed(ctx context.Context, u *User, want right) (bool, error) {
	return r.ask(ctx, u, want, false)
}

// still says whether u, who watches, still has that right.
func (r *reviews) still(ctx context.Context, u *User, want right) (bool, error) {
	return r.ask(ctx, u, want, true)
}

func (r *reviews) ask(ctx context.Context, u *User, want right, watches bool) (bool, error) {
	spec := want.review(u)
	text, err := json.Marshal(spec) // with the keys of maps in order
	if err != nil {
		return false, fmt.Errorf("encoding a review: %w", err)
	}
	key := sha256.Sum256(text)
	return r.rights.recall(ctx, string(key[:]), func(ctx context.Context) (bool, time.Duration, error) {
		if !watches {
			if _, err := r.askers.Take(u.Username, time.Now()); err != nil {
				return false, 0, fmt.Errorf("asking about a right: %w", err)
			}
		}
		yes, err := r.reviewer.Authorize(ctx, spec)
		if want.verb == listVerb {
			return yes, listTTL, err
		}
		return yes, ttl(yes), err
	})
}

func ttl(yes bool) time.Duration {
	if yes {
		return yesTTL
	}
	return noTTL
}

// memory keeps answers for a while. However many want the same one at once, it is asked for once; nobody holds a lock meanwhile.
type memory[T any] struct {
	asking  *singleflight.Group
	answers *cache.LRUExpireCache
}

func newMemory[T any]() memory[T] {
	return memory[T]{&singleflight.Group{}, cache.NewLRUExpireCache(cacheSize)}
}

func (m memory[T]) recall(ctx context.Context, key string, ask func(context.Context) (T, time.Duration, error)) (T, error) {
	if answer, ok := m.answers.Get(key); ok {
		return answer.(T), nil
	}
	answer, err, _ := m.asking.Do(key, func() (any, error) {
		// Others may wait for the answer too: it does not end with whoever asked first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		answer, ttl, err := ask(ctx)
		if err == nil {
			m.answers.Add(key, answer, ttl)
		}
		return answer, err
	})
	return answer.(T), err
}
