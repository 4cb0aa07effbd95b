// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

func TestCaptureClock(t *testing.T) {
	const trip = 40 * time.Millisecond
	begin := time.Unix(1_700_000_000, 0)
	for _, offset := range []time.Duration{0, time.Hour, -time.Hour, 3 * time.Millisecond} { // by which the edge is ahead
		var c captureClock
		now := begin
		see := func(way time.Duration) time.Duration {
			now = now.Add(40 * time.Millisecond)
			return c.latency(now.Add(offset-way), now, trip)
		}
		if got := see(70 * time.Millisecond); got != trip/2 {
			t.Errorf("offset %v: the first picture took %v, want %v", offset, got, trip/2)
		}
		see(20 * time.Millisecond) // no queue
		if got := see(520 * time.Millisecond); got != 520*time.Millisecond {
			t.Errorf("offset %v: a late picture took %v", offset, got)
		}
		if got, ok := c.ahead(trip); !ok || got != offset {
			t.Errorf("the edge is %v ahead, want %v", got, offset)
		}
	}
}

// A clock that is set back is known again after two spans, one that is set forward at once; nothing is negative meanwhile.
func TestCaptureClockIsSet(t *testing.T) {
	var c captureClock
	now := time.Unix(1_700_000_000, 0)
	see := func(offset time.Duration) time.Duration {
		now = now.Add(time.Second)
		got := c.latency(now.Add(offset-20*time.Millisecond), now, 0)
		if got < 0 {
			t.Fatalf("a picture took %v", got)
		}
		return got
	}
	see(0)
	if got := see(time.Minute); got != 0 {
		t.Errorf("forward: %v", got)
	}
	if got := see(0); got != time.Minute {
		t.Errorf("back: %v", got)
	}
	for range 2 * clockSpan / time.Second {
		see(0)
	}
	if got := see(0); got != 0 {
		t.Errorf("two spans later: %v", got)
	}
}

// An edge that names any time at all spoils its own figures and no sum over all.
func TestCaptureClockIsBounded(t *testing.T) {
	for _, captured := range []time.Time{time.Unix(0, 0), time.Unix(1<<40, 0), time.UnixMicro(math.MinInt64), time.UnixMicro(math.MaxInt64)} {
		var c captureClock
		now := time.Unix(1_700_000_000, 0)
		for i, at := range []time.Time{now, captured, now, captured} {
			if got := c.latency(at, now, 0); got < 0 || got > maxLate {
				t.Errorf("picture %d with %v took %v", i, captured, got)
			}
		}
	}
}

func TestEndReason(t *testing.T) {
	for want, err := range map[string]error{
		endFenced:    errFenced,
		endMalformed: fmt.Errorf("reading: %w", tunnel.ErrMalformed),
		endClosed:    &websocket.CloseError{Code: websocket.CloseGoingAway},
		endLost:      &websocket.CloseError{Code: websocket.CloseAbnormalClosure, Text: io.ErrUnexpectedEOF.Error()},
	} {
		if got := endReason(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
	if got := endReason(&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}); got != endLost {
		t.Errorf("reset: %s", got)
	}
	s := &Session{video: &VideoSession{removed: true}}
	if err := s.run(t.Context()); !errors.Is(err, errRemoved) || *s.reason.Load() != endServer {
		t.Errorf("not let in: %v, %s", err, *s.reason.Load())
	}
	s = &Session{}
	s.ended(endServer)
	s.ended(endLost)
	if *s.reason.Load() != endServer {
		t.Error("a later reason counts")
	}
}

// Of more streams than are listed one by one, all count in the sums.
func TestStreamsAreBounded(t *testing.T) {
	cfg := v1alpha1.NewDefaultCloudDataStream()
	reg := prometheus.NewRegistry()
	streams := newStreamServer(cfg, newMetrics(reg), reg)
	d := assignment.NodeDirectory{Node: "edge-1"}
	for i := range 5 {
		d.Entries = append(d.Entries, assignment.Entry{Namespace: "yard", Rule: fmt.Sprintf("rule-%d", i), Path: "/camera"})
	}
	streams.apply(d)
	defer streams.apply(assignment.NodeDirectory{Node: "edge-1"})
	for most, unlisted := range map[int]float64{0: 5, 2: 3, 1000: 0} {
		c := newStreamCollector(streams, most)
		one := prometheus.NewRegistry()
		one.MustRegister(c)
		families, err := one.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			want := -1
			switch f.GetName() {
			case "datastream_stream_state":
				want = min(most, 5)
			case "datastream_cloud_streams":
				want = len(streamStates)
			case "datastream_cloud_unlisted_streams":
				want = 1
				if got := f.GetMetric()[0].GetGauge().GetValue(); got != unlisted {
					t.Errorf("of 5 streams %d may be listed, and %v are left out", most, got)
				}
			}
			if got := len(f.GetMetric()); want >= 0 && got != want {
				t.Errorf("%d of %s, want %d", got, f.GetName(), want)
			}
		}
	}
}

// number is a counter's.
func number(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// Whatever an edge calls its reason, the label has one of few values.
func TestFailureReasonsAreBounded(t *testing.T) {
	m := newMetrics(prometheus.NewRegistry())
	tally := tally{metrics: m}
	for _, reason := range []string{"Timeout", "", "rtsp://admin:secret@10.0.0.1/", "Zeitüberschreitung"} {
		tally.failed(reason)
	}
	if known, others := number(t, m.failures["Timeout"]), number(t, m.failures[otherReason]); known != 1 || others != 3 {
		t.Errorf("%v known, %v others", known, others)
	}
}

// Counting a unit allocates nothing.
func TestTallyAllocatesNothing(t *testing.T) {
	tally := tally{metrics: newMetrics(prometheus.NewRegistry())}
	u := &media.AccessUnit{RandomAccess: true, Capture: time.Now(), Payload: make([]byte, 1000)}
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() { tally.received(media.Video, u, true, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if tally.units == 0 || tally.bytes != 1000*tally.units {
		t.Errorf("%d units, %d bytes", tally.units, tally.bytes)
	}
}

type oracle struct{ err error }

func (o oracle) Authenticate(_ context.Context, token string) (*viewerauth.User, error) {
	if token == "" {
		return nil, o.err
	}
	return &viewerauth.User{}, o.err
}

func (o oracle) Authorize(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	return o.err == nil, o.err
}

func TestReviewsAreCounted(t *testing.T) {
	m := newMetrics(prometheus.NewRegistry())
	ctx := context.Background()
	for _, o := range []oracle{{}, {errors.New("away")}} {
		c := countingReviewer{o, m.reviews}
		for _, token := range []string{"", "a", "b"} {
			_, _ = c.Authenticate(ctx, token)
		}
		_, _ = c.Authorize(ctx, authorizationv1.SubjectAccessReviewSpec{})
	}
	for labels, want := range map[[2]string]float64{
		{reviewToken, reviewYes}: 2, {reviewToken, reviewNo}: 1, {reviewToken, reviewError}: 3,
		{reviewAccess, reviewYes}: 1, {reviewAccess, reviewNo}: 0, {reviewAccess, reviewError}: 1,
	} {
		if got := number(t, m.reviews.WithLabelValues(labels[:]...)); got != want {
			t.Errorf("%v: %v, want %v", labels, got, want)
		}
	}
}
