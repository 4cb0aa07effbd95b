// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubeedge/datastream/tests/camera"
)

const (
	frameRate  = 25
	frameTicks = 90_000 / frameRate
	// clipFrames is how many frames the camera counts before it begins anew: four GOPs.
	clipFrames = 4 * frameRate
)

// witness is an honest viewer. It checks each frame's number and time against those of the one before.
type witness struct {
	t      *testing.T
	client *http.Client
	token  string
	// redialled says that the tunnel was or will be away for longer than the edge remembers, which is a GOP: frames may be missing
	// in front of a key frame.
	redialled atomic.Bool

	mu      sync.Mutex
	frames  int
	err     error // the first thing that was wrong; it ends the witness
	changed chan struct{}
}

func newWitness(t *testing.T, client *http.Client) *witness {
	return &witness{t: t, client: client, changed: make(chan struct{})}
}

func (w *witness) update(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// more waits for n more frames than there are now.
func (w *witness) more(n int) {
	w.t.Helper()
	must(w.t, w.await(n))
}

// intact fails the test unless no frame was missing so far and a few others follow.
func (w *witness) intact(t *testing.T) {
	t.Helper()
	if err := w.await(frameRate / 5); err != nil {
		t.Fatalf("the honest viewer: %v", err)
	}
}

func (w *witness) await(n int) error {
	deadline := time.After(patience)
	for want := -1; ; {
		w.mu.Lock()
		frames, err, changed := w.frames, w.err, w.changed
		w.mu.Unlock()
		if want < 0 {
			want = frames + n
		}
		if err != nil {
			return fmt.Errorf("behind %d frames: %w", frames, err)
		}
		if frames >= want {
			return nil
		}
		select {
		case <-changed:
		case <-deadline:
			return fmt.Errorf("no frame came behind %d", frames)
		}
	}
}

// watch reads until ctx ends. The stream's end, a gap and anything else that is wrong is the witness's err.
func (w *witness) watch(ctx context.Context, url string) {
	err := w.read(ctx, url)
	if ctx.Err() == nil {
		w.update(func() { w.err = err })
	}
}

func (w *witness) read(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	sign(req, w.token)
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	var dts, lastDTS int64
	last := -1
	for {
		box, err := readBox(resp.Body)
		if err != nil {
			return fmt.Errorf("the stream ended: %w", err)
		}
		switch string(box[4:8]) {
		case "moof":
			dts = decodingTime(box[8:])
		case "mdat":
			number, err := frameNumber(box[8:])
			if err != nil {
				return err
			}
			next := number == (last+1)%clipFrames && dts-lastDTS == frameTicks
			resumes := w.redialled.Load() && number%frameRate == 0 && dts > lastDTS
			if last >= 0 && !next && !resumes {
				return fmt.Errorf("frame %d at %d follows on frame %d at %d", number, dts, last, lastDTS)
			}
			last, lastDTS = number, dts
			w.update(func() { w.frames++ })
		}
	}
}

// readBox reads one box of an MP4 (ISO/IEC 14496-12, 4.2).
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

// decodingTime finds the tfdt in a moof's body. Its version 1 has 64 bits (ISO/IEC 14496-12, 8.8.12).
func decodingTime(b []byte) int64 {
	for len(b) >= 8 {
		n := min(max(int(binary.BigEndian.Uint32(b)), 8), len(b))
		switch string(b[4:8]) {
		case "traf":
			return decodingTime(b[8:n])
		case "tfdt":
			return int64(binary.BigEndian.Uint64(b[12:]))
		}
		b = b[n:]
	}
	return -1
}

// frameNumber reads the mark of the slice in an mdat's body.
func frameNumber(b []byte) (int, error) {
	for len(b) > 4 {
		n := int(binary.BigEndian.Uint32(b))
		if n < 1 || n > len(b)-4 {
			break
		}
		nalu := b[4 : 4+n]
		if kind := nalu[0] & 0x1f; kind == 1 || kind == 5 { // a slice (ITU-T H.264, table 7-1)
			mark, err := camera.ParseMark(nalu)
			return int(mark.Frame), err
		}
		b = b[4+n:]
	}
	return 0, errors.New("a frame without a slice")
}
