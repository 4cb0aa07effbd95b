// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/gorilla/websocket"
)

// viewer reads one output, as a player that connects again whenever it is sent away.
type viewer struct {
	format string
	done   chan struct{}

	mu    sync.Mutex
	sight sight
}

// The unit of decoding times, and how far apart those of two frames of camera-1 are: it has 25 in a second.
const (
	clockRate = 90000
	frameTime = clockRate / 25
)

// sight is what a viewer has seen.
type sight struct {
	frames    int           // of video
	closed    int           // connections that had frames
	backwards int           // frames that do not come after the one before them on the same connection
	lost      int           // frames that are missing between two of the same connection
	blank     time.Duration // the longest time between two frames, whatever the connection
	last      time.Time     // of a frame
	err       error         // why the last connection ended
}

func (v *viewer) get() sight {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sight
}

func (v *viewer) update(f func(*sight)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(&v.sight)
}

// run reads until ctx ends.
func (v *viewer) run(ctx context.Context, url string) {
	defer close(v.done)
	for {
		fed, err := v.connect(ctx, url+"?format="+v.format)
		if ctx.Err() != nil {
			return
		}
		v.update(func(s *sight) {
			s.err = err
			if fed {
				s.closed++
			}
		})
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond): // as a player would
		}
	}
}

// connect reads one connection to its end and says whether it had any frame.
func (v *viewer) connect(ctx context.Context, url string) (fed bool, err error) {
	var last int64
	got := func(dts int64) {
		now := time.Now()
		v.update(func(s *sight) {
			if fed && dts <= last {
				s.backwards++
			} else if fed {
				s.lost += int((dts-last+frameTime/2)/frameTime) - 1
			}
			if !s.last.IsZero() {
				s.blank = max(s.blank, now.Sub(s.last))
			}
			s.frames++
			s.last = now
		})
		fed, last = true, dts
	}
	if v.format == "mse" {
		err = readMSE(ctx, url, got)
		return fed, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fed, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fed, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode != http.StatusOK:
		err = refusal(resp)
	case v.format == "ts":
		err = readTS(resp.Body, got)
	default:
		err = readMP4(resp.Body, got)
	}
	return fed, err
}

// readTS reports the decoding time of each video frame of H.264.
func readTS(body io.Reader, got func(dts int64)) error {
	r := &mpegts.Reader{R: body}
	if err := r.Initialize(); err != nil {
		return fmt.Errorf("reading MPEG-TS: %w", err)
	}
	for _, track := range r.Tracks() {
		if _, ok := track.Codec.(*mpegts.CodecH264); ok {
			r.OnDataH264(track, func(_, dts int64, _ [][]byte) error {
				got(dts)
				return nil
			})
		}
	}
	for {
		if err := r.Read(); err != nil {
			return fmt.Errorf("reading MPEG-TS: %w", err)
		}
	}
}

// readMSE reads the same bytes as readMP4, from WebSocket messages.
func readMSE(ctx context.Context, url string, got func(dts int64)) error {
	ws, resp, err := websocket.DefaultDialer.DialContext(ctx, strings.Replace(url, "http", "ws", 1), nil)
	if err != nil {
		return fmt.Errorf("dialling: %w", err)
	}
	resp.Body.Close()
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { ws.Close() })()
	return readMP4(&messages{conn: ws, current: strings.NewReader("")}, got)
}

// messages reads binary messages as one stream of bytes.
type messages struct {
	conn    *websocket.Conn
	current io.Reader
}

func (m *messages) Read(p []byte) (int, error) {
	for {
		n, err := m.current.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		kind, next, err := m.conn.NextReader()
		if err != nil {
			return 0, fmt.Errorf("reading message: %w", err)
		}
		if kind == websocket.BinaryMessage { // text says what state the stream is in
			m.current = next
		}
	}
}

// readMP4 reports the decoding time of each video frame of a fragmented MP4 stream.
func readMP4(r io.Reader, got func(dts int64)) error {
	video, timeScale := 0, int64(1) // the track's ID and units in a second
	var pending bytes.Buffer
	for {
		kind, err := copyBox(&pending, r)
		if err != nil {
			return err
		}
		switch kind {
		case "moov": // ftyp is before it
			var init fmp4.Init
			if err := init.Unmarshal(bytes.NewReader(pending.Bytes())); err != nil {
				return fmt.Errorf("reading MP4: %w", err)
			}
			for _, track := range init.Tracks {
				if track.Codec.IsVideo() {
					video, timeScale = track.ID, int64(track.TimeScale)
				}
			}
		case "mdat": // moof is before it
			var parts fmp4.Parts
			if err := parts.Unmarshal(pending.Bytes()); err != nil {
				return fmt.Errorf("reading MP4: %w", err)
			}
			for _, part := range parts {
				for _, track := range part.Tracks {
					if track.ID == video {
						got(int64(track.BaseTime) * clockRate / timeScale)
					}
				}
			}
		default:
			continue
		}
		pending.Reset()
	}
}

// maxBox is more than any frame of the cameras.
const maxBox = 8 << 20

// copyBox appends one box (ISO/IEC 14496-12 section 4.2) to b and returns its type.
func copyBox(b *bytes.Buffer, r io.Reader) (string, error) {
	var header [8]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return "", fmt.Errorf("reading MP4: %w", err)
	}
	size := int64(binary.BigEndian.Uint32(header[:]))
	if size < int64(len(header)) || size > maxBox {
		return "", fmt.Errorf("reading MP4: a box of %d bytes", size)
	}
	b.Write(header[:])
	if _, err := io.CopyN(b, r, size-int64(len(header))); err != nil {
		return "", fmt.Errorf("reading MP4: %w", err)
	}
	return string(header[4:]), nil
}
