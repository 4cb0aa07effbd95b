// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// rig is a stream whose source and tunnel are the test itself.
type rig struct {
	*stream
	session *session
	base    uint64 // sequence before the first unit
	pushed  int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	cfg := v1alpha1.NewDefaultEdgeDataStream()
	cfg.Queue.Bytes, cfg.Queue.Age.Duration = 10000, time.Hour // however slow the test is
	r := &rig{stream: newStream(tunnel.StreamKey{}, target("test://"), cfg, nil, NewMetrics(prometheus.NewRegistry()))}
	r.base = r.sequence
	t.Cleanup(r.close)
	r.attach(&tunnel.Hello{})
	r.desire(&tunnel.Desired{Action: tunnel.Start, Generation: 1})
	r.connect()
	return r
}

// connect begins a new session of the source.
func (r *rig) connect() {
	r.session, _ = r.begin(context.Background())
	r.session.Tracks([]media.Track{{ID: 0, Kind: media.Video}, {ID: 1, Kind: media.Audio}}, nil)
}

// push lets the source deliver video: K a key frame, p a picture, b a disposable one, each of 100 bytes; X is a
// picture of 6000 bytes, and a is audio.
func (r *rig) push(units string) {
	for _, kind := range units {
		u := &media.AccessUnit{PTS: int64(r.pushed), Capture: time.Now(), Payload: make([]byte, 100)}
		r.pushed++
		switch kind {
		case 'K':
			u.RandomAccess = true
		case 'b':
			u.Disposable = true
		case 'X':
			u.Payload = make([]byte, 6000)
		case 'a':
			u.Track, u.RandomAccess = 1, true
		}
		r.session.Unit(u)
	}
}

// sent takes out all that is to be sent: the number of each unit, negative with a discontinuity; control messages
// are left out.
func (r *rig) sent() []int {
	var out []int
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		item, ok := r.next(ctx)
		if !ok {
			return out
		}
		if item.unit != nil {
			n := int(item.unit.Sequence - r.base)
			if item.unit.Discontinuity {
				n = -n
			}
			out = append(out, n)
		}
	}
}

func (r *rig) expect(t *testing.T, want ...int) {
	t.Helper()
	if got := r.sent(); !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

func (r *rig) want(a tunnel.Action) { r.desire(&tunnel.Desired{Action: a}) }

func TestPauseAndResume(t *testing.T) {
	r := newRig(t)
	r.push("Kpap")
	r.expect(t, -1, 2, 3, 4)
	r.push("pp") // waits for the writer when the pause comes
	r.want(tunnel.Pause)
	r.push("pp")
	r.expect(t)
	r.want(tunnel.Start)
	r.expect(t, 5, 6, 7, 8)

	r.want(tunnel.Pause)
	r.push("ppKp")
	r.want(tunnel.Start)
	r.push("p")
	r.expect(t, 11, 12, 13)

	r.want(tunnel.Pause)
	r.push("XXp") // outgrows the cache
	r.want(tunnel.Start)
	r.push("ppaKp")
	r.expect(t, 19, 20, 21)
}

func TestSourceReconnectsWhilePaused(t *testing.T) {
	r := newRig(t)
	r.push("Kp")
	r.expect(t, -1, 2)
	r.want(tunnel.Pause)
	r.session.failed(&source.Error{Reason: source.Stalled})
	r.connect()
	r.push("KpKp")
	r.want(tunnel.Start)
	r.push("p")
	r.expect(t, -5, 6, 7)
}

func TestTunnelReconnects(t *testing.T) {
	r := newRig(t)
	r.push("Kpp")
	r.expect(t, -1, 2, 3)
	r.ack(&tunnel.Ack{Sequence: r.base + 2})
	r.detach()
	r.push("p")
	r.attach(&tunnel.Hello{})
	r.expect(t) // not before it is desired
	r.want(tunnel.Start)
	r.expect(t, 1, 2, 3, 4)

	// What was never acknowledged may not have come: the clock is announced again.
	r.session.failed(&source.Error{Reason: source.Stalled})
	r.connect()
	r.push("K")
	r.expect(t, -5)
	r.detach()
	r.push("Kp")
	r.attach(&tunnel.Hello{})
	r.want(tunnel.Start)
	r.expect(t, -6, 7)
}

// A GOP with holes is not sent again: the cloud would take what it has for the whole.
func TestTunnelReconnectsAfterDrops(t *testing.T) {
	r := newRig(t)
	r.push("K")
	r.expect(t, -1)
	r.push("XX") // over the queue's bound
	r.push("p")
	r.push("a")
	r.expect(t, 5)
	r.detach()
	r.attach(&tunnel.Hello{})
	r.want(tunnel.Start)
	r.push("paKp")
	r.expect(t, -7, 8, 9)
}

func TestStaleSessionIsIgnored(t *testing.T) {
	r := newRig(t)
	r.push("K")
	old := r.session
	r.want(tunnel.Stop)
	old.Unit(&media.AccessUnit{RandomAccess: true, Payload: []byte{1}})
	old.Tracks(nil, nil)
	old.failed(&source.Error{Reason: source.Stalled})
	r.expect(t)
	if st := r.reported; st.State != tunnel.Idle {
		t.Errorf("state %+v", st)
	}
}

// What an earlier tunnel has sent is not on this one, however often the cloud changes its mind before the writer has taken anything.
func TestPausedOnANewTunnel(t *testing.T) {
	r := newRig(t)
	r.push("Kpp")
	r.expect(t, -1, 2, 3)
	r.detach()
	r.push("p")
	r.attach(&tunnel.Hello{})
	r.want(tunnel.Start)
	r.want(tunnel.Pause)
	r.want(tunnel.Start)
	r.push("p")
	r.expect(t, -1, 2, 3, 4, 5)
}
