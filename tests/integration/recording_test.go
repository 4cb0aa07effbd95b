// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asticode/go-astits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/tests/camera"
)

// picture is a video frame as a viewer got it.
type picture struct {
	dts    int64 // at 90 kHz
	key    bool
	slices string // the NAL units without parameter sets and the like
}

// recording is a viewer who keeps what he gets, and comes again where his body ends.
type recording struct {
	format string
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	bodies []*bytes.Buffer // of MP4 and MPEG-TS; for MSE the binary messages of one WebSocket
	breaks int             // marks of MSE
	ends   []error         // why connections ended, or did not come about
}

func record(t *testing.T, url, format string) *recording {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &recording{format: format, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for ctx.Err() == nil {
			var err error
			if format == "mse" {
				err = r.readMessages(ctx, url+"?format="+format)
			} else {
				err = r.readBody(ctx, url+"?format="+format)
			}
			r.mu.Lock()
			r.ends = append(r.ends, err)
			r.mu.Unlock()
		}
	}()
	t.Cleanup(r.close)
	return r
}

func (r *recording) close() {
	r.cancel()
	<-r.done
}

func (r *recording) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, &bytes.Buffer{})
}

// Write implements io.Writer: it appends to the newest body.
func (r *recording) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bodies[len(r.bodies)-1].Write(p)
}

func (r *recording) readBody(ctx context.Context, url string) error {
	resp, err := get(ctx, url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	r.begin()
	_, err = io.Copy(r, resp.Body)
	return err
}

func (r *recording) readMessages(ctx context.Context, url string) error {
	ws, resp, err := websocket.DefaultDialer.DialContext(ctx, "ws"+strings.TrimPrefix(url, "http"), nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { ws.Close() })()
	r.begin()
	for {
		kind, message, err := ws.ReadMessage()
		if err != nil {
			return err
		}
		switch {
		case kind == websocket.BinaryMessage:
			_, _ = r.Write(message) // cannot fail
		case bytes.Contains(message, []byte(`"type":"break"`)):
			r.mu.Lock()
			r.breaks++
			r.mu.Unlock()
		}
	}
}

// snapshot is what there is so far, body by body, and the marks of MSE.
func (r *recording) snapshot() (bodies [][]byte, breaks int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bodies {
		bodies = append(bodies, bytes.Clone(b.Bytes()))
	}
	return bodies, r.breaks
}

// length is how much has come, all bodies together.
func (r *recording) length() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, b := range r.bodies {
		n += b.Len()
	}
	return n
}

// pictures are those of one body, and the number of breaks that it marks itself.
func (r *recording) pictures(body []byte) ([]picture, int, error) {
	if r.format == "ts" {
		return picturesOfTS(body)
	}
	pictures, err := picturesOfMP4(body)
	return pictures, 0, err
}

func picturesOfMP4(body []byte) ([]picture, error) {
	var pictures []picture
	video, hevc := 0, false
	var pending []byte
	for len(body) >= 8 {
		n := int(binary.BigEndian.Uint32(body))
		if n < 8 || n > len(body) {
			break // the rest is on its way
		}
		kind := string(body[4:8])
		pending, body = append(pending, body[:n]...), body[n:]
		switch kind {
		case "moov":
			var init fmp4.Init
			if err := init.Unmarshal(bytes.NewReader(pending)); err != nil {
				return nil, fmt.Errorf("initialization segment: %w", err)
			}
			hevc = bytes.Contains(pending, []byte("hvcC"))
			for _, t := range init.Tracks {
				if t.Codec.IsVideo() {
					video = t.ID
				}
			}
		case "mdat":
			var parts fmp4.Parts
			if err := parts.Unmarshal(pending); err != nil {
				return nil, fmt.Errorf("fragment: %w", err)
			}
			for _, t := range parts[0].Tracks {
				if t.ID != video {
					continue
				}
				var nalus h264.AVCC // H.265 has the same
				if err := nalus.Unmarshal(t.Samples[0].Payload); err != nil {
					return nil, fmt.Errorf("sample: %w", err)
				}
				pictures = append(pictures, newPicture(int64(t.BaseTime), nalus, hevc))
			}
		default:
			continue
		}
		pending = nil
	}
	return pictures, nil
}

func picturesOfTS(body []byte) (pictures []picture, breaks int, err error) {
	// Only whole packets.
	demuxer := astits.NewDemuxer(context.Background(), bytes.NewReader(body[:len(body)/188*188]))
	codecs := map[uint16]astits.StreamType{}
	counters := map[uint16]uint8{}
	for i := 0; i+188 <= len(body); i += 188 {
		p := body[i : i+188]
		pid, counter := binary.BigEndian.Uint16(p[1:])&0x1fff, p[3]&0x0f
		marked := p[3]&0x20 != 0 && p[4] > 0 && p[5]&0x80 != 0
		if last, ok := counters[pid]; ok && p[3]&0x10 != 0 && !marked && counter != (last+1)&0x0f {
			return nil, 0, fmt.Errorf("packet %d: counter %d of PID %d behind %d", i/188, counter, pid, last)
		}
		counters[pid] = counter
	}
	for {
		data, err := demuxer.NextData()
		if errors.Is(err, astits.ErrNoMorePackets) { // the last PES packet has no length, so nobody knows whether it has come to its end
			return pictures[:max(len(pictures)-1, 0)], breaks, nil
		}
		if err != nil {
			return nil, 0, err
		}
		if data.PMT != nil {
			for _, es := range data.PMT.ElementaryStreams {
				codecs[es.ElementaryPID] = es.StreamType
			}
		}
		codec := codecs[data.PID]
		if data.PES == nil || !codec.IsVideo() {
			continue
		}
		var nalus h264.AnnexB
		if err := nalus.Unmarshal(data.PES.Data); err != nil {
			return nil, 0, fmt.Errorf("PES packet: %w", err)
		}
		header := data.PES.Header.OptionalHeader
		dts := header.PTS.Base
		if header.DTS != nil {
			dts = header.DTS.Base
		}
		if a := data.FirstPacket.AdaptationField; a != nil && a.DiscontinuityIndicator {
			breaks++
		}
		pictures = append(pictures, newPicture(dts, nalus, codec == astits.StreamTypeH265Video))
	}
}

func newPicture(dts int64, nalus [][]byte, hevc bool) picture {
	p := picture{dts: dts}
	if hevc {
		p.key = h265.IsRandomAccess(nalus)
	} else {
		p.key = h264.IsRandomAccess(nalus)
	}
	p.slices = slicesOf(nalus, hevc)
	return p
}

func slicesOf(nalus [][]byte, hevc bool) string {
	var all []byte
	for _, n := range nalus {
		if hevc && n[0]>>1&0x3f < 32 || !hevc && n[0]&0x1f <= 5 {
			all = append(all, n...)
		}
	}
	return string(all)
}

// known finds frames in the clips that cameras play.
type known map[string][]place

type place struct{ clip, unit int }

func knownFrames(clips ...*camera.Clip) (known, []int) {
	k, lengths := known{}, make([]int, len(clips))
	for i, clip := range clips {
		for _, t := range clip.Tracks {
			if !t.IsVideo() {
				continue
			}
			hevc := strings.HasPrefix(t.Format.RTPMap(), "H265")
			for j, u := range t.Units {
				s := slicesOf(u.Payload, hevc)
				k[s] = append(k[s], place{i, j})
			}
			lengths[i] = len(t.Units)
		}
	}
	return k, lengths
}

// checkDecodable fails unless each picture is a random access point or comes right behind the one that it follows in its clip: then every
// reference is there. Decoding times have to grow, by less than longest.
func checkDecodable(t *testing.T, name string, pictures []picture, clips []*camera.Clip, longest time.Duration) {
	t.Helper()
	frames, lengths := knownFrames(clips...)
	var at []place // where the picture before may be: frames of a standing picture are alike
	for i, p := range pictures {
		places := frames[p.slices]
		if len(places) == 0 {
			t.Fatalf("%s: picture %d of %d is not one of the camera's", name, i, len(pictures))
		}
		var next []place
		for _, a := range at {
			for _, b := range places {
				if a.clip == b.clip && b.unit == (a.unit+1)%lengths[a.clip] {
					next = append(next, b)
				}
			}
		}
		if len(next) == 0 && p.key {
			next = places
		}
		if len(next) == 0 {
			t.Fatalf("%s: picture %d of %d lacks the one before it", name, i, len(pictures))
		}
		at = next
		if i == 0 {
			continue
		}
		if step := time.Duration(p.dts-pictures[i-1].dts) * time.Second / 90000; step <= 0 || step > longest {
			t.Fatalf("%s: picture %d of %d comes %v after the one before it", name, i, len(pictures), step)
		}
	}
}
