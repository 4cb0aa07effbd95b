// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4/cliptest"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Kinds of entries in the script of FuzzVideoSession: a byte of kind, two of length, and the message's bytes.
const (
	fuzzText = iota
	fuzzBinary
	fuzzViewers // come if they are away, and the other way round
	fuzzTime    // passes: the length in milliseconds, and no bytes
	fuzzKinds
)

func appendEntry(script []byte, kind byte, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(append(script, kind), uint16(len(b))), b...)
}

// clipScript is an edge that sends the beginning of a clip.
func clipScript(f *testing.F, name string, units int) []byte {
	clip := cliptest.Load(f, name)
	text, err := tunnel.EncodeMessage(&tunnel.Tracks{Tracks: clip.Tracks, Skipped: []tunnel.SkippedTrack{{Codec: "G726", Reason: "no"}}})
	if err != nil {
		f.Fatal(err)
	}
	script := appendEntry(appendEntry(nil, fuzzViewers, nil), fuzzText, text)
	script = appendEntry(script, fuzzText, []byte(`{"type":"state","state":"streaming","generation":1}`))
	for i, u := range clip.Units[:units] {
		small := *u
		small.Sequence = uint64(i + 1)
		if media.Find(clip.Tracks, u.Track).Kind == media.Video { // the fuzzer has no use for pictures
			small.Payload = media.JoinNALUs([][]byte{u.Payload[4:7], {0x41, 2, 3}})
		}
		script = appendEntry(script, fuzzBinary, append(tunnel.AppendHeader(nil, &small), small.Payload...))
	}
	return script
}

// FuzzVideoSession is an edge that says what it likes behind its hello, to a stream that is watched through every output. It can end its
// own tunnel and nothing else: what is kept of it stays within its bounds, and people can be told of its state.
func FuzzVideoSession(f *testing.F) {
	for _, name := range []string{cliptest.H264, cliptest.H265} {
		script := clipScript(f, name, 12)
		f.Add(script)
		again := append([]byte(nil), script...)
		f.Add(append(append(again, fuzzTime, 0xff, 0xff), script...))
	}
	f.Add(appendEntry(nil, fuzzText, []byte(`{"type":"state","state":"failed","reason":"\ud800","message":"<script>"}`)))
	f.Fuzz(func(t *testing.T, script []byte) {
		e := newHostileEdge(t)
		defer e.close()
		for len(script) >= 3 {
			kind, size := script[0]%fuzzKinds, int(binary.BigEndian.Uint16(script[1:]))
			script = script[3:]
			switch kind {
			case fuzzViewers:
				e.toggleViewers()
				continue
			case fuzzTime:
				e.now = e.now.Add(time.Duration(size) * time.Millisecond)
				e.video.Tick(e.now)
				continue
			}
			size = min(size, len(script))
			if e.say(kind == fuzzText, script[:size]) != nil {
				return // the tunnel ends
			}
			script = script[size:]
			e.check()
		}
	})
}

// hostileEdge is the far end of a VideoSession.
type hostileEdge struct {
	*testing.T
	video   *VideoSession
	session *Session
	metrics *output.Metrics
	now     time.Time
	detach  []func()
	largest int // unit
	tracks  int // bytes of the newest
}

const fuzzGOPBytes, fuzzOutputBytes = 4 << 10, 8 << 10

func newHostileEdge(t *testing.T) *hostileEdge {
	reg := prometheus.NewRegistry()
	e := &hostileEdge{T: t, now: time.Unix(1_700_000_000, 0), metrics: output.NewMetrics(reg)}
	key := tunnel.StreamKey{Node: "edge-1", Namespace: "default", Rule: "r", Path: "/p"}
	e.video = newVideoSession(key, assignment.Entry{RuleUID: "uid"}, videoSessionConfig{
		stopGrace: 10 * time.Second, holdTime: time.Minute, maxViewers: 8, gopBytes: fuzzGOPBytes, gopMax: time.Minute,
		output: output.Config{MaxBytes: fuzzOutputBytes, MaxLag: time.Second, WriteTimeout: time.Second, Metrics: e.metrics},
	}, outputs(), newMetrics(reg))
	e.session = &Session{key: key, video: e.video, hello: tunnel.Hello{Node: "edge-1", RuleUID: "uid", Epoch: 1}, wake: make(chan struct{}, 1)}
	if err := e.video.connect(e.session); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *hostileEdge) close() {
	e.video.disconnect(e.session)
	e.video.remove(tunnel.CloseNormal, "")
}

func (e *hostileEdge) toggleViewers() {
	if e.detach != nil {
		for _, detach := range e.detach {
			detach()
		}
		e.detach = nil
		return
	}
	for _, format := range e.video.registry.Names() {
		_, detach, err := e.video.Attach(format)
		switch {
		case err == nil:
			e.detach = append(e.detach, detach)
		case !errors.Is(err, errCannotCarry):
			e.Fatalf("%s: %v", format, err)
		}
	}
}

// say is what run does with what the tunnel has read. The errors end the tunnel.
func (e *hostileEdge) say(text bool, b []byte) error {
	if text {
		m, err := tunnel.DecodeMessage(b)
		if err != nil {
			return err
		}
		if _, ok := m.(*tunnel.Tracks); ok {
			e.tracks = len(b)
		}
		e.session.handle(m)
		return nil
	}
	u, err := tunnel.ParseHeader(b)
	if err != nil {
		return err
	}
	u.Payload = b[tunnel.HeaderSize:]
	e.largest = max(e.largest, len(u.Payload))
	e.now = e.now.Add(40 * time.Millisecond)
	err = e.video.write(e.session, &u, e.now)
	if err != nil && !errors.Is(err, tunnel.ErrMalformed) {
		e.Fatalf("a unit ends the tunnel for %v", err)
	}
	return err
}

func (e *hostileEdge) check() {
	if kept := e.video.cached(); kept > fuzzGOPBytes {
		e.Fatalf("the GOP cache holds %d bytes", kept)
	}
	for _, format := range e.video.registry.Names() {
		var m dto.Metric
		if err := e.metrics.Buffered.WithLabelValues(format).Write(&m); err != nil {
			e.Fatal(err)
		}
		// The newest chunk stays whatever its size; TS has a packet of 188 bytes for each little thing, and all have a header.
		if kept := int(m.GetGauge().GetValue()); kept > fuzzOutputBytes+2*e.largest+2*e.tracks+8<<10 {
			e.Fatalf("%s holds %d bytes of units of at most %d", format, kept, e.largest)
		}
	}
	status, _ := e.video.Status()
	b, err := json.Marshal(status)
	if err != nil || len(b) > 16<<10+6*e.tracks {
		e.Fatalf("a status of %d bytes: %v", len(b), err)
	}
}
