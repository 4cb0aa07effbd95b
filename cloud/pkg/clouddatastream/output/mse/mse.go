// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package mse is the output for browsers: fragmented MP4 over a WebSocket, to be appended to a Media Source
// Extensions buffer.
//
// The server sends text messages, which are JSON objects with a "type":
//
//	{"type":"status","status":{…}}     an output.Status, at once, whenever it changes, and every 5 s while there is nothing else
//	{"type":"mse","value":"video/mp4; codecs=\"avc1.640028\"","skipped":[{"codec":…,"reason":…}]}
//	                                   the media type of the initialization segment that follows, and the
//	                                   tracks that are left out; again when the tracks change
//	{"type":"break","pts":12.5}        the fragment that follows does not follow on the one before: units are missing, or
//	                                   the camera began anew. It goes on at that presentation time, in seconds
//	{"type":"sync","pts":12.5,"captured":1700000000000,"now":1700000000100,"delay":80,"arrived":7020,"clock":7040}
//	                                   about once a second while units arrive: the newest unit's presentation
//	                                   time in seconds, when it reached the edge and when this was sent, both in
//	                                   milliseconds since 1970 by the clocks of edge and cloud. These may be set, and differ;
//	                                   so there is also how long it was from the edge to the cloud, as far as their clocks
//	                                   tell, and when it arrived and when this was sent by a clock that only runs, in milliseconds
//	{"type":"end","reason":…}          the stream is over; the WebSocket closes with code 1001
//
// and binary messages: an initialization segment after each "mse", then one fragment (moof and mdat) for each
// access unit. A viewer that is too slow misses the units up to a random access point.
//
// The WebSocket is open before the stream is: the status says what it waits for. What a client sends
// is ignored, {"type":"mse"} for instance; a message over 4 KiB closes the WebSocket.
package mse

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fanout"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4"
	"github.com/kubeedge/datastream/pkg/media"
)

// Name is the output's name in ?format= and in metrics.
const Name = "mse"

// Output is one stream as fragmented MP4 over WebSockets.
type Output struct {
	stream output.Stream
	cfg    output.Config
	log    *fanout.Log[item]
	begun  time.Time // when the clock of sync messages was zero
	newest atomic.Pointer[moment]

	muxer  *fmp4.Muxer // nil while the tracks cannot be carried
	lead   *media.Track
	broken bool // the lead's next unit does not follow on the one before
}

var _ output.Viewable = (*Output)(nil)

// maxDelay is how long a unit may have been under way; where it seems more, the clocks of edge and cloud disagree.
const maxDelay = 10 * time.Minute

// moment ties a presentation time to the times of its capture and its arrival.
type moment struct {
	pts              time.Duration
	capture, arrival time.Time
}

// delay is how long the unit was under way from edge to cloud, or zero where their clocks do not tell.
func (m *moment) delay() time.Duration {
	d := m.arrival.Sub(m.capture)
	if m.capture.IsZero() || d < 0 || d > maxDelay {
		return 0
	}
	return d
}

// New makes the output of one stream. It is an output.Factory.
func New(stream output.Stream, cfg output.Config) output.Output {
	return &Output{stream: stream, cfg: cfg, log: output.NewLog[item](Name, cfg), begun: time.Now()}
}

// Open implements output.Output.
func (o *Output) Open(tracks []media.Track) error {
	muxer, err := fmp4.NewMuxer(tracks)
	o.muxer = muxer
	if err != nil {
		return err
	}
	lead := *media.Find(tracks, muxer.Lead())
	o.lead = &lead
	return o.begin()
}

// begin puts the initialization segment and its announcement in front of what follows.
func (o *Output) begin() error {
	text, err := json.Marshal(initMessage{"mse", o.muxer.MIME(), o.muxer.Skipped()})
	if err != nil {
		return fmt.Errorf("announcing the media type: %w", err)
	}
	var header item
	if err := header.add(websocket.TextMessage, text); err != nil {
		return err
	}
	if err := header.add(websocket.BinaryMessage, o.muxer.Init()); err != nil {
		return err
	}
	o.log.Begin(header, header.size)
	return nil
}

// Write implements output.Output.
func (o *Output) Write(u *media.AccessUnit) error {
	if o.muxer == nil {
		return nil
	}
	received := time.Now()
	o.broken = o.broken || u.Discontinuity
	fragment, err := o.muxer.Fragment(u)
	if err != nil || fragment == nil {
		return err
	}
	var unit item
	leads := u.Track == o.lead.ID
	if leads {
		pts := o.lead.Duration(u.PTS)
		o.newest.Store(&moment{pts, u.Capture, received})
		if err := o.mark(&unit, pts); err != nil {
			return err
		}
	}
	if err := unit.add(websocket.BinaryMessage, fragment); err != nil {
		return err
	}
	o.log.Append(unit, unit.size, leads && u.RandomAccess, received)
	return nil
}

// mark says in front of a unit that it does not follow on the one before, if so.
func (o *Output) mark(unit *item, pts time.Duration) error {
	if !o.broken {
		return nil
	}
	o.broken = false
	text, err := json.Marshal(breakMessage{"break", pts.Seconds()})
	if err != nil {
		return fmt.Errorf("announcing a break: %w", err)
	}
	return unit.add(websocket.TextMessage, text)
}

// Close implements output.Output.
func (o *Output) Close() { o.log.Close() }

// subprotocol is chosen for whoever offers it. A browser that shows its token as another subprotocol has to: it gives up where none
// of those that it offered is chosen (RFC 6455, 4.1).
const subprotocol = "mse.datastream.kubeedge.io"

// ServeHTTP implements output.Viewable. The request has to be a WebSocket handshake from a page that may have one, or
// from a client that is not a browser and sends no Origin.
func (o *Output) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{HandshakeTimeout: o.cfg.WriteTimeout, Subprotocols: []string{subprotocol}, CheckOrigin: o.cfg.CheckOrigin}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		klog.V(2).InfoS("WebSocket handshake failed", "stream", o.stream.Key(), "remote", r.RemoteAddr, "err", err)
		return
	}
	newViewer(o, conn, output.FirstPicture(r.Context())).run()
}
