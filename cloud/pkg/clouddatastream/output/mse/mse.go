// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package mse is the output for browsers: fragmented MP4 over a WebSocket, to be appended to a Media Source
// Extensions buffer.
//
// The server sends text messages, which are JSON objects with a "type":
//
//	{"type":"status","status":{…}}     an output.Status, at once and whenever it changes
//	{"type":"mse","value":"video/mp4; codecs=\"avc1.640028\"","skipped":[{"codec":…,"reason":…}]}
//	                                   the media type of the initialization segment that follows, and the
//	                                   tracks that are left out; again when the tracks change
//	{"type":"sync","pts":12.5,"captured":1700000000000,"now":1700000000100}
//	                                   about once a second while units arrive: the newest unit's presentation
//	                                   time in seconds, when it reached the edge and when this was sent, both in
//	                                   milliseconds since 1970 by the clocks of edge and cloud
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
	newest atomic.Pointer[moment]

	muxer *fmp4.Muxer // nil while the tracks cannot be carried
	lead  *media.Track
}

var _ output.Viewable = (*Output)(nil)

// moment ties a presentation time to the time of its capture.
type moment struct {
	pts     time.Duration
	capture time.Time
}

// New makes the output of one stream. It is an output.Factory.
func New(stream output.Stream, cfg output.Config) output.Output {
	return &Output{stream: stream, cfg: cfg, log: output.NewLog[item](Name, cfg)}
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
	fragment, err := o.muxer.Fragment(u)
	if err != nil || fragment == nil {
		return err
	}
	var unit item
	if err := unit.add(websocket.BinaryMessage, fragment); err != nil {
		return err
	}
	leads := u.Track == o.lead.ID
	if leads {
		o.newest.Store(&moment{o.lead.Duration(u.PTS), u.Capture})
	}
	o.log.Append(unit, unit.size, leads && u.RandomAccess, time.Now())
	return nil
}

// Close implements output.Output.
func (o *Output) Close() { o.log.Close() }

// ServeHTTP implements output.Viewable. The request has to be a WebSocket handshake from a page of the same origin, or
// from a client that is not a browser and sends no Origin.
func (o *Output) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{HandshakeTimeout: o.cfg.WriteTimeout}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		klog.V(2).InfoS("WebSocket handshake failed", "stream", o.stream.Key(), "remote", r.RemoteAddr, "err", err)
		return
	}
	newViewer(o, conn).run()
}
