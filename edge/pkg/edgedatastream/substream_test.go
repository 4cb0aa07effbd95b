// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const (
	fastPath, slowPath = 1_000_000, 100_000 // bytes per second
	testRTT            = 40 * time.Millisecond
)

// twoStreams is a camera with two streams, at 25 frames a second and GOPs of 2 s.
type twoStreams struct {
	mutex      sync.Mutex
	runs       map[string]int // so far, by stream
	open, most int
	// script may let a run of a stream go another way: it fails with the error, at once or after a time; a nil error is never
	// to say anything.
	script func(stream string, run int) (after time.Duration, err error, other bool)
}

type streamSource struct {
	*twoStreams
	stream string
	size   int // of a frame; a key frame has ten times as much
}

func (c *twoStreams) registry() source.Registry {
	return source.Registry{"test": func(spec source.Spec) (source.Source, error) {
		stream := strings.TrimPrefix(spec.URL.Path, "/")
		return &streamSource{c, stream, map[string]int{"main": 17_000, "sub": 2200}[stream]}, nil
	}}
}

// Run implements source.Source.
func (s *streamSource) Run(ctx context.Context, sink source.Sink) error {
	s.mutex.Lock()
	s.runs[s.stream]++
	run := s.runs[s.stream]
	s.open++
	s.most = max(s.most, s.open)
	s.mutex.Unlock()
	defer func() {
		s.mutex.Lock()
		s.open--
		s.mutex.Unlock()
	}()
	if s.script != nil {
		after, err, other := s.script(s.stream, run)
		switch {
		case other && err == nil:
			<-ctx.Done()
			return ctx.Err()
		case other && after == 0:
			return err
		case other:
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, after, err)
			defer cancel()
		}
	}
	sink.Tracks([]media.Track{{ID: 0, Kind: media.Video, ClockRate: 90000}}, nil)
	frames := time.NewTicker(40 * time.Millisecond)
	defer frames.Stop()
	for n := 0; ; n++ {
		size := s.size
		if n%50 == 0 {
			size *= 10
		}
		u := &media.AccessUnit{PTS: int64(n) * 3600, Capture: time.Now(), RandomAccess: n%50 == 0, Payload: make([]byte, size)}
		copy(u.Payload, fmt.Sprintf("%s %d", s.stream, run))
		binary.BigEndian.PutUint32(u.Payload[16:], uint32(n))
		sink.Unit(u)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-frames.C:
		}
	}
}

func (c *twoStreams) total(stream string) int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.runs[stream]
}

func (c *twoStreams) sessions() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.open
}

// road is a stream on a path in virtual time, and the cloud at its end.
type road struct {
	*testing.T
	*stream
	camera *twoStreams
	rate   atomic.Int64 // of the path, in bytes per second; 0: it is cut off

	watching sync.Mutex
	// events are what the cloud heard of: states, and the first unit of each run of a stream.
	events []string
	run    string
	next   int
	missed int // pictures within runs
}

// drive runs f on a stream that is wanted, in virtual time, and joins everything.
func drive(t *testing.T, target assignment.Target, script func(stream string, run int) (time.Duration, error, bool), f func(*road)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		camera := &twoStreams{runs: map[string]int{}, script: script}
		r := &road{T: t, camera: camera}
		r.stream = newStream(tunnel.StreamKey{}, target, v1alpha1.NewDefaultEdgeDataStream(), camera.registry(), NewMetrics(prometheus.NewRegistry()))
		r.rate.Store(fastPath)
		r.attach(&tunnel.Hello{})
		r.want(tunnel.Start)
		ctx, cancel := context.WithCancel(t.Context())
		var joined sync.WaitGroup
		joined.Go(func() { r.pull(ctx) })
		joined.Go(func() { r.carry(ctx) })
		f(r)
		cancel()
		joined.Wait()
		r.close()
		if camera.open != 0 || r.value(r.metrics.Substreams) != 0 {
			t.Errorf("at the end there are %d sessions and %v substreams", camera.open, r.value(r.metrics.Substreams))
		}
		if camera.most > 2 {
			t.Errorf("%d sessions at a time", camera.most)
		}
	})
}

func (r *road) want(a tunnel.Action) { r.desire(&tunnel.Desired{Action: a}) }

// pass lets time go by.
func (r *road) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// carry is the tunnel's writer, the path and the cloud.
func (r *road) carry(ctx context.Context) {
	var bytes uint64
	noise := rand.New(rand.NewPCG(1, 2))
	for {
		item, ok := r.stream.next(ctx)
		if !ok {
			return
		}
		if st, ok := item.message.(*tunnel.State); ok {
			r.watching.Lock()
			r.events = append(r.events, strings.TrimSpace(string(st.State)+" "+st.Reason))
			r.watching.Unlock()
		}
		if item.unit == nil {
			continue
		}
		for left := len(item.unit.Payload); left > 0; {
			piece := min(left, max(4096, int(r.rate.Load())/50)) // the cloud acknowledges so often
			for r.rate.Load() == 0 && ctx.Err() == nil {
				time.Sleep(10 * time.Millisecond)
			}
			if ctx.Err() != nil {
				return
			}
			rate := float64(r.rate.Load()) * (0.95 + 0.1*noise.Float64())
			time.Sleep(time.Duration(float64(piece) / rate * float64(time.Second)))
			left -= piece
			bytes += uint64(piece)
			ack := &tunnel.Ack{Bytes: bytes, Received: time.Now().UnixMicro()}
			if left == 0 {
				ack.Sequence = item.unit.Sequence
			}
			time.AfterFunc(testRTT, func() { r.ack(ack) })
		}
		r.arrived(item.unit)
	}
}

// arrived checks that u can be decoded, and that a new clock is marked where another run begins, and only there.
func (r *road) arrived(u *media.AccessUnit) {
	r.watching.Lock()
	defer r.watching.Unlock()
	run, _, _ := strings.Cut(string(u.Payload[:16]), "\x00")
	n := int(binary.BigEndian.Uint32(u.Payload[16:]))
	other := run != r.run
	if u.Discontinuity != other {
		r.Errorf("%s, unit %d: discontinuity %t", run, n, u.Discontinuity)
	}
	if !u.RandomAccess && (other || n != r.next) {
		r.Errorf("%s, unit %d behind %d of %s", run, n, r.next-1, r.run)
	}
	if other {
		r.events = append(r.events, run)
	} else {
		r.missed += n - r.next
	}
	r.run, r.next = run, n+1
}

func (r *road) expect(events ...string) {
	r.Helper()
	r.watching.Lock()
	defer r.watching.Unlock()
	if !slices.Equal(r.events, events) {
		r.Errorf("there was %q, want %q", r.events, events)
	}
	r.events = nil
}

// expectMissed compares how many pictures did not come since it was last called, but for those between two runs.
func (r *road) expectMissed(want int) {
	r.Helper()
	r.watching.Lock()
	defer r.watching.Unlock()
	if r.missed != want {
		r.Errorf("%d pictures are missing, want %d", r.missed, want)
	}
	r.missed = 0
}

func (r *road) value(m prometheus.Metric) float64 {
	r.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		r.Fatal(err)
	}
	return d.GetGauge().GetValue() + d.GetCounter().GetValue()
}

func withSubstream(url string) assignment.Target {
	t := target("test://user:secret@camera/main")
	t.Properties = map[string]string{substreamProperty: url}
	return t
}

var bothStreams = withSubstream("test://camera/sub")

func TestSubstreamAndBack(t *testing.T) {
	drive(t, bothStreams, nil, func(r *road) {
		r.pass(time.Minute)
		r.expect("connecting", "streaming", "main 1")
		r.expectMissed(0)
		r.rate.Store(slowPath)
		r.pass(20 * time.Second)
		r.expect("streaming Congested", "sub 1")
		if n := r.value(r.metrics.Substreams); n != 1 {
			t.Errorf("%v substreams are on", n)
		}
		r.watching.Lock()
		r.missed = 0
		r.watching.Unlock()
		r.pass(3 * time.Minute)
		r.expect() // the path is known to be too slow
		r.rate.Store(fastPath)
		r.pass(2 * time.Minute)
		r.expect("streaming", "main 2")
		r.expectMissed(0)
		if sub, main := r.value(r.metrics.Switches.WithLabelValues("sub")), r.value(r.metrics.Switches.WithLabelValues("main")); sub != 1 || main != 1 {
			t.Errorf("%v switches to the substream and %v back", sub, main)
		}
	})
}

func TestNoSubstreamForAnOutage(t *testing.T) {
	for _, length := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 8 * time.Second, 20 * time.Second} {
		drive(t, bothStreams, nil, func(r *road) {
			r.pass(20 * time.Second)
			r.rate.Store(0)
			r.pass(length)
			r.rate.Store(fastPath)
			r.pass(time.Minute)
			r.expect("connecting", "streaming", "main 1")
		})
	}
}

// Where the substream cannot be had the main one goes on; it is asked for again, but not often.
func TestSubstreamDoesNotCome(t *testing.T) {
	refused := &source.Error{Reason: source.NotFound, Message: "There is no such stream."}
	for name, tc := range map[string]struct {
		err   error
		tries int
	}{"refused": {refused, 4}, "silent": {nil, 3}} {
		t.Run(name, func(t *testing.T) {
			script := func(stream string, run int) (time.Duration, error, bool) {
				return 0, tc.err, stream == "sub" && run <= tc.tries
			}
			drive(t, bothStreams, script, func(r *road) {
				r.rate.Store(slowPath)
				r.pass(110 * time.Second)
				r.expect("connecting", "streaming", "main 1", "streaming "+reasonSubstream)
				if n := r.value(r.metrics.SwitchFailures.WithLabelValues("sub")); int(n) != tc.tries {
					t.Errorf("%v failures, want %d", n, tc.tries)
				}
				r.pass(time.Minute)
				r.expect("streaming Congested", "sub "+fmt.Sprint(tc.tries+1))
			})
		})
	}
}

func TestSubstreamFails(t *testing.T) {
	script := func(stream string, run int) (time.Duration, error, bool) {
		return 10 * time.Second, &source.Error{Reason: source.Disconnected, Message: "It ended."}, stream == "sub" && run == 1
	}
	drive(t, bothStreams, script, func(r *road) {
		r.rate.Store(slowPath)
		r.pass(40 * time.Second)
		r.expect("connecting", "streaming", "main 1", "streaming Congested", "sub 1", "connecting", "streaming "+reasonSubstream, "main 2")
		r.pass(20 * time.Second)
		r.expect("streaming Congested", "sub 2")
	})
}

// While the main stream cannot be had the substream goes on.
func TestMainStreamDoesNotComeBack(t *testing.T) {
	script := func(stream string, run int) (time.Duration, error, bool) { return 0, nil, stream == "main" && run == 2 }
	drive(t, bothStreams, script, func(r *road) {
		r.rate.Store(slowPath)
		r.pass(20 * time.Second)
		r.rate.Store(fastPath)
		r.expect("connecting", "streaming", "main 1", "streaming Congested", "sub 1")
		r.pass(50 * time.Second)
		r.expect()
		r.pass(30 * time.Second)
		r.expect("streaming", "main 3")
		if n := r.value(r.metrics.SwitchFailures.WithLabelValues("main")); n != 1 {
			t.Errorf("%v failures", n)
		}
	})
}

// A substream that no source can read is told in the state, without its password.
func TestSubstreamIsUnusable(t *testing.T) {
	for _, url := range []string{"other://user:secret@camera/sub", "test://user:secret@%zz/", "nothing"} {
		drive(t, withSubstream(url), nil, func(r *road) {
			r.rate.Store(slowPath)
			r.pass(time.Minute)
			r.expect("connecting", "streaming "+reasonSubstream, "main 1")
			if m := r.reported.Message; strings.Contains(m, "secret") || m == "" {
				t.Errorf("message %q", m)
			}
		})
	}
}

func TestStopWhileSwitching(t *testing.T) {
	silent := func(stream string, _ int) (time.Duration, error, bool) { return 0, nil, stream == "sub" }
	drive(t, bothStreams, silent, func(r *road) {
		r.rate.Store(slowPath)
		for r.camera.total("sub") == 0 {
			r.pass(time.Second)
		}
		r.want(tunnel.Stop)
		r.pass(time.Minute)
		if n := r.camera.sessions(); n != 0 {
			t.Errorf("%d sessions of a stream that is stopped", n)
		}
		if n := r.value(r.metrics.SwitchFailures.WithLabelValues("sub")); n != 0 {
			t.Errorf("%v failures", n)
		}
		r.expect("connecting", "streaming", "main 1", "idle")
	})
}

// A stream that is stopped on its substream and soon wanted again begins there, later with the main stream.
func TestStopOnTheSubstream(t *testing.T) {
	drive(t, bothStreams, nil, func(r *road) {
		r.rate.Store(slowPath)
		r.pass(15 * time.Second)
		r.expect("connecting", "streaming", "main 1", "streaming Congested", "sub 1")
		r.want(tunnel.Stop)
		r.pass(5 * time.Second)
		r.want(tunnel.Start)
		r.pass(5 * time.Second)
		r.expect("idle", "connecting", "streaming Congested", "sub 2")
		r.want(tunnel.Stop)
		r.rate.Store(fastPath)
		r.pass(10 * time.Minute)
		r.want(tunnel.Start)
		r.pass(time.Second)
		r.expect("idle", "connecting", "streaming", "main 2")
	})
}

func TestTargetChangesOnTheSubstream(t *testing.T) {
	drive(t, bothStreams, nil, func(r *road) {
		r.rate.Store(slowPath)
		r.pass(20 * time.Second)
		r.expect("connecting", "streaming", "main 1", "streaming Congested", "sub 1")
		r.update(target("test://camera/main"), true)
		r.pass(time.Minute)
		r.expect("connecting", "streaming", "main 2")
	})
}

func TestSubstreamURL(t *testing.T) {
	for name, tc := range map[string]struct{ url, sub, want string }{
		"none":           {"rtsp://u:p@a/1", "", ""},
		"same host":      {"rtsp://u:p@a/1", "rtsp://A:8554/2", "rtsp://u:p@A:8554/2"},
		"its own user":   {"rtsp://u:p@a/1", "rtsp://v:q@a/2", "rtsp://v:q@a/2"},
		"another host":   {"rtsp://u:p@a/1", "rtsp://b/2", "rtsp://b/2"},
		"another scheme": {"rtsps://u:p@a/1", "rtsp://a/2", "rtsp://a/2"},
		"no user":        {"rtsp://a/1", "rtsp://a/2", "rtsp://a/2"},
		"malformed":      {"rtsp://u:p@a/1", "rtsp://%zz", "rtsp://%zz"},
	} {
		target := assignment.Target{URL: tc.url, Properties: map[string]string{substreamProperty: tc.sub}}
		if got := substreamURL(&target); got != tc.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
