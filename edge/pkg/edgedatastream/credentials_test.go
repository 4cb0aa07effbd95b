// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/congestion"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// guard is a camera that asks for a password.
type guard struct {
	mutex    sync.Mutex
	password string
	dials    []string // the passwords that were shown
	leave    chan struct{}
}

func (g *guard) registry() source.Registry {
	return source.Registry{"test": func(spec source.Spec) (source.Source, error) { return &guardedSource{g, spec}, nil }}
}

func (g *guard) expect(password string) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.password = password
}

func (g *guard) shown() []string {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return slices.Clone(g.dials)
}

type guardedSource struct {
	*guard
	spec source.Spec
}

// Run implements source.Source.
func (s *guardedSource) Run(ctx context.Context, sink source.Sink) error {
	password := s.spec.Credentials.Password()
	s.mutex.Lock()
	s.dials = append(s.dials, password)
	right := password == s.password
	s.mutex.Unlock()
	if !right {
		return &source.Error{Reason: source.AuthenticationFailed, Message: "wrong"}
	}
	sink.Tracks([]media.Track{{Kind: media.Video}}, nil)
	sink.Unit(&media.AccessUnit{RandomAccess: true, Payload: []byte{1}})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.leave:
		return &source.Error{Reason: source.Disconnected, Message: "gone"}
	}
}

// guarded is a stream of a target that needs credentials, in a bubble.
type guarded struct {
	*testing.T
	*stream
	camera     *guard
	generation uint64
}

func inBubble(t *testing.T, do func(g *guarded)) {
	synctest.Test(t, func(t *testing.T) {
		camera := &guard{password: "one", leave: make(chan struct{})}
		cfg := v1alpha1.NewDefaultEdgeDataStream()
		tg := target("test://Camera:554/main")
		tg.NeedsCredentials = true
		s := newStream(tunnel.StreamKey{}, tg, cfg, camera.registry(), NewMetrics(prometheus.NewRegistry()))
		ctx, cancel := context.WithCancel(context.Background())
		var pull sync.WaitGroup
		pull.Go(func() { s.pull(ctx) })
		s.attach(&tunnel.Hello{})
		do(&guarded{T: t, stream: s, camera: camera})
		cancel()
		pull.Wait()
		s.close()
	})
}

// tell is a message of the cloud, with no credentials if password is empty.
func (g *guarded) tell(action tunnel.Action, password string) {
	g.generation++
	d := &tunnel.Desired{Action: action, Generation: g.generation}
	if password != "" {
		d.Credentials = tunnel.NewCredentials("test://camera:554", "user", password)
	}
	g.desire(d)
	synctest.Wait()
}

func (g *guarded) is(state tunnel.StreamState, reason string, shown ...string) {
	g.Helper()
	g.mutex.Lock()
	got := g.source
	g.mutex.Unlock()
	if got.State != state || got.Reason != reason {
		g.Errorf("the source is %s %q, want %s %q", got.State, got.Reason, state, reason)
	}
	if got := g.camera.shown(); !slices.Equal(got, shown) {
		g.Errorf("the camera was shown %q, want %q", got, shown)
	}
}

// A session that delivers outlives a rotation; the next one has the new credentials.
func TestCredentialsRotate(t *testing.T) {
	inBubble(t, func(g *guarded) {
		g.tell(tunnel.Start, "one")
		g.is(tunnel.Streaming, "", "one")
		session := g.present
		g.tell(tunnel.Start, "two")
		g.tell(tunnel.Pause, "three")
		g.tell(tunnel.Start, "two")
		time.Sleep(time.Hour)
		g.is(tunnel.Streaming, "", "one")
		if g.present != session {
			t.Error("the session has changed")
		}
		g.camera.expect("two")
		g.camera.leave <- struct{}{}
		time.Sleep(time.Minute)
		g.is(tunnel.Streaming, "", "one", "two")
	})
}

// A session that the camera refuses is tried again as soon as there are others, whatever the backoff.
func TestCredentialsRetried(t *testing.T) {
	inBubble(t, func(g *guarded) {
		g.camera.expect("two")
		g.tell(tunnel.Start, "one")
		time.Sleep(time.Hour) // the backoff is at its end
		synctest.Wait()
		shown := g.camera.shown()
		g.is(tunnel.Failed, source.AuthenticationFailed, shown...)
		g.tell(tunnel.Start, "two") // no time passes
		g.is(tunnel.Streaming, "", append(shown, "two")...)
	})
}

// Without the credentials that it needs a source is not dialled, and they are forgotten with the end of the session.
func TestCredentialsMissing(t *testing.T) {
	inBubble(t, func(g *guarded) {
		g.tell(tunnel.Start, "")
		time.Sleep(time.Hour)
		g.is(tunnel.Failed, source.CredentialsMissing)
		g.tell(tunnel.Start, "one")
		g.is(tunnel.Streaming, "", "one")
		g.tell(tunnel.Stop, "")
		g.is(tunnel.Idle, "", "one")
		if !g.credentials.IsZero() {
			t.Error("they are still there after a stop")
		}
		g.tell(tunnel.Start, "one")
		g.is(tunnel.Streaming, "", "one", "one")
		g.detach()
		time.Sleep(time.Hour) // longer than the source is held
		synctest.Wait()
		g.is(tunnel.Idle, "", "one", "one")
		if !g.credentials.IsZero() {
			t.Error("they are still there without a tunnel")
		}
	})
}

// A cloud that does not know the credentials yet leaves those that are there: to the session, and to the next one. A stop has them forgotten as ever.
func TestCredentialsKept(t *testing.T) {
	inBubble(t, func(g *guarded) {
		g.tell(tunnel.Start, "one")
		session := g.present
		g.detach()
		g.attach(&tunnel.Hello{})
		g.tell(tunnel.Start, "")
		time.Sleep(time.Hour)
		g.is(tunnel.Streaming, "", "one")
		if g.present != session {
			t.Error("the session has changed")
		}
		g.camera.leave <- struct{}{}
		time.Sleep(time.Minute)
		g.is(tunnel.Streaming, "", "one", "one")
		g.tell(tunnel.Stop, "")
		g.tell(tunnel.Start, "")
		time.Sleep(time.Minute)
		g.is(tunnel.Failed, source.CredentialsMissing, "one", "one")
	})
}

// Credentials are shown to no other host than that which they are for, nor to a target that asks for none.
func TestCredentialsForOneOrigin(t *testing.T) {
	inBubble(t, func(g *guarded) {
		g.tell(tunnel.Start, "one")
		other := g.current()
		for _, url := range []string{"test://elsewhere:554/main", "test://camera:8554/main", "test://camera/main"} {
			other.URL = url
			g.update(other, true)
			synctest.Wait()
			g.is(tunnel.Failed, source.CredentialsMissing, "one")
		}
		g.desire(&tunnel.Desired{Action: tunnel.Start, Credentials: tunnel.NewCredentials("test://camera", "user", "one")})
		synctest.Wait()
		g.is(tunnel.Streaming, "", "one", "one")
		other.NeedsCredentials = false
		g.update(other, true)
		synctest.Wait()
		if shown := g.camera.shown(); shown[2] != "" {
			t.Error("a target that needs none has some")
		}
	})
}

// A target that moves to another address and another Secret, which the cloud cannot read, is not read with the password of before, however long that
// takes and whatever happens meanwhile. The new password then goes to the new address only.
func TestCredentialsMoved(t *testing.T) {
	inBubble(t, func(g *guarded) {
		g.tell(tunnel.Start, "one")
		g.is(tunnel.Streaming, "", "one")
		old := g.current()
		moved := g.current()
		moved.URL = "test://elsewhere:554/main"
		g.update(moved, true)
		for _, meanwhile := range []func(){
			func() { g.tell(tunnel.Start, "") },
			func() { g.tell(tunnel.Pause, "") },
			func() { g.detach(); g.attach(&tunnel.Hello{}); g.tell(tunnel.Start, "") },
			func() { g.tell(tunnel.Start, "one") }, // a message for the old address that is late
		} {
			meanwhile()
			time.Sleep(time.Minute)
			synctest.Wait()
			g.is(tunnel.Failed, source.CredentialsMissing, "one")
		}
		g.generation++
		g.camera.expect("two")
		g.desire(&tunnel.Desired{
			Action: tunnel.Start, Generation: g.generation, Credentials: tunnel.NewCredentials("test://elsewhere:554", "user", "two"),
		})
		synctest.Wait()
		g.is(tunnel.Streaming, "", "one", "two")
		g.update(old, true)
		g.tell(tunnel.Start, "")
		time.Sleep(time.Minute)
		synctest.Wait()
		g.is(tunnel.Failed, source.CredentialsMissing, "one", "two")
	})
}

// The substream has the same credentials if it is of the same host and names no user.
func TestCredentialsOfSubstream(t *testing.T) {
	for substream, want := range map[string]string{
		"test://camera/sub": "one", "test://CAMERA:8554/sub": "one", "test://other/sub": "", "tests://camera/sub": "", "test://u:p@camera/sub": "",
	} {
		tg := target("test://camera:554/main")
		tg.NeedsCredentials, tg.Properties = true, map[string]string{substreamProperty: substream}
		camera := &guard{}
		registry := camera.registry()
		registry["tests"] = registry["test"]
		s := newStream(tunnel.StreamKey{}, tg, v1alpha1.NewDefaultEdgeDataStream(), registry, NewMetrics(prometheus.NewRegistry()))
		s.desire(&tunnel.Desired{Action: tunnel.Start, Credentials: tunnel.NewCredentials("test://camera:554", "user", "one")})
		sub := s.newSession(congestion.Sub)
		if got := sub.spec.Credentials.Password(); got != want || !sub.permitted || sub.rawURL != substream {
			t.Errorf("%s is read at %s with password %q, want %q", substream, sub.rawURL, got, want)
		}
		s.close()
	}
}
