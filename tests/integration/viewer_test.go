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
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/gorilla/websocket"
)

// patience is how long a test waits for what must happen. It is no measure: nothing is asserted about time.
const patience = 2 * time.Minute

// frame is a video frame as a viewer got it.
type frame struct {
	dts int64 // at 90 kHz
	key bool
}

// viewer reads one output for as long as the test wants and keeps the video frames that it got.
type viewer struct {
	t      *testing.T
	name   string
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	frames  []frame
	texts   []string // text messages of mse
	err     error    // why reading ended
	changed chan struct{}
}

// watch opens a viewer of that format and returns at once. The test closes it.
func watch(t *testing.T, url, format string) *viewer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	v := &viewer{t: t, name: format, cancel: cancel, done: make(chan struct{}), changed: make(chan struct{})}
	read := map[string]func(context.Context, string) error{"mp4": v.readMP4, "ts": v.readTS, "mse": v.readMSE}[format]
	go func() {
		defer close(v.done)
		err := read(ctx, url+"?format="+format)
		v.update(func() { v.err = err })
	}()
	t.Cleanup(v.close)
	return v
}

func (v *viewer) close() {
	v.cancel()
	<-v.done
}

func (v *viewer) update(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f()
	close(v.changed)
	v.changed = make(chan struct{})
}

func (v *viewer) got(f frame) { v.update(func() { v.frames = append(v.frames, f) }) }

// wait returns the viewer's frames once ok says so of them.
func (v *viewer) wait(what string, ok func([]frame) bool) []frame {
	v.t.Helper()
	deadline := time.After(patience)
	for {
		v.mu.Lock()
		frames, err, changed := v.frames, v.err, v.changed
		v.mu.Unlock()
		if ok(frames) {
			return frames
		}
		if err != nil {
			v.t.Fatalf("%s viewer ended while waiting for %s: %v", v.name, what, err)
		}
		select {
		case <-changed:
		case <-deadline:
			v.t.Fatalf("%s viewer: no %s after %d frames", v.name, what, len(frames))
		}
	}
}

// more waits for n more frames than there are now.
func (v *viewer) more(n int) []frame {
	v.t.Helper()
	v.mu.Lock()
	have := len(v.frames)
	v.mu.Unlock()
	return v.wait(fmt.Sprintf("%d more frames", n), func(f []frame) bool { return len(f) >= have+n })
}

func (v *viewer) first() frame {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.frames[0]
}

func (v *viewer) last() frame {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.frames[len(v.frames)-1]
}

// ended waits until the server has ended the viewer, and returns why.
func (v *viewer) ended() error {
	v.t.Helper()
	select {
	case <-v.done:
	case <-time.After(patience):
		v.t.Fatalf("%s viewer was not ended", v.name)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

var errEnded = errors.New("the server ended the stream")

func get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		return nil, fmt.Errorf("%s: %s", resp.Status, body)
	}
	return resp, err
}

func (v *viewer) readMP4(ctx context.Context, url string) error {
	resp, err := get(ctx, url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var p mp4Parser
	for {
		box, err := readBox(resp.Body)
		if errors.Is(err, io.EOF) {
			return errEnded
		}
		if err != nil {
			return err
		}
		if err := p.parse(box, v.got); err != nil {
			return err
		}
	}
}

func readBox(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 8 || n > 64<<20 {
		return nil, fmt.Errorf("box of %d bytes", n)
	}
	box := append(size[:], make([]byte, n-4)...)
	_, err := io.ReadFull(r, box[4:])
	return box, err
}

// mp4Parser takes boxes and finds the video frames in them.
type mp4Parser struct {
	pending []byte // ftyp before moov, moof before mdat
	video   int    // track ID
}

func (p *mp4Parser) parse(box []byte, got func(frame)) error {
	p.pending = append(p.pending, box...)
	switch string(box[4:8]) {
	case "moov":
		var init fmp4.Init
		if err := init.Unmarshal(bytes.NewReader(p.pending)); err != nil {
			return fmt.Errorf("parsing init segment: %w", err)
		}
		for _, t := range init.Tracks {
			if t.Codec.IsVideo() {
				p.video = t.ID
			}
		}
	case "mdat":
		if f, id := fragment(p.pending); id == p.video {
			got(f)
		}
	default:
		return nil
	}
	p.pending = nil
	return nil
}

// fragment reads from a moof with one sample the track and the sample's frame. The library would do, but
// not fifty times under the race detector.
func fragment(moof []byte) (f frame, track int) {
	f.key = true
	var walk func([]byte)
	walk = func(b []byte) {
		for len(b) >= 8 {
			n := min(int(binary.BigEndian.Uint32(b)), len(b))
			box := b[:n]
			switch string(b[4:8]) {
			case "moof", "traf":
				walk(box[8:])
			case "tfhd":
				track = int(binary.BigEndian.Uint32(box[12:]))
			case "tfdt":
				f.dts = int64(binary.BigEndian.Uint64(box[12:]))
			case "trun": // count, data offset, then duration, size and, if it is there, flags
				if binary.BigEndian.Uint32(box[8:])&0x400 != 0 {
					f.key = binary.BigEndian.Uint32(box[28:])&0x10000 == 0
				}
			}
			b = b[max(n, 8):]
		}
	}
	walk(moof)
	return f, track
}

func (v *viewer) readTS(ctx context.Context, url string) error {
	resp, err := get(ctx, url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	r := &mpegts.Reader{R: resp.Body}
	if err := r.Initialize(); err != nil {
		return fmt.Errorf("reading MPEG-TS: %w", err)
	}
	for _, t := range r.Tracks() {
		if _, ok := t.Codec.(*mpegts.CodecH264); ok {
			r.OnDataH264(t, func(_, dts int64, au [][]byte) error {
				v.got(frame{dts, h264.IsRandomAccess(au)})
				return nil
			})
		}
	}
	for {
		if err := r.Read(); err != nil {
			if errors.Is(err, io.EOF) {
				return errEnded
			}
			return err
		}
	}
}

func (v *viewer) readMSE(ctx context.Context, url string) error {
	ws, resp, err := websocket.DefaultDialer.DialContext(ctx, "ws"+url[len("http"):], nil)
	if err != nil {
		return fmt.Errorf("dialling: %w", err)
	}
	resp.Body.Close()
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { ws.Close() })()
	var p mp4Parser
	for {
		kind, message, err := ws.ReadMessage()
		if err != nil {
			return fmt.Errorf("%w: %w", errEnded, err)
		}
		if kind == websocket.TextMessage {
			v.update(func() { v.texts = append(v.texts, string(message)) })
			continue
		}
		for r := bytes.NewReader(message); r.Len() > 0; {
			box, err := readBox(r)
			if err != nil {
				return err
			}
			if err := p.parse(box, v.got); err != nil {
				return err
			}
		}
	}
}

// lazy connects as a viewer and never reads. Its receive buffer is as small as the system allows.
func lazy(t *testing.T, address, path string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(1)
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, address); err != nil {
		t.Fatalf("asking: %v", err)
	}
}

// checkOrder fails unless the frames follow on each other in steps of exactly one frame interval.
func checkOrder(t *testing.T, name string, frames []frame) {
	t.Helper()
	if !frames[0].key {
		t.Errorf("%s: the first frame is no key frame", name)
	}
	for i := 1; i < len(frames); i++ {
		if step := frames[i].dts - frames[i-1].dts; step != frameTicks {
			t.Fatalf("%s: frame %d comes %d ticks after the one before it, want %d", name, i, step, frameTicks)
		}
	}
}
