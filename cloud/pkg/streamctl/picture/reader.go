// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package picture reads the fragmented MP4 that viewers get, without decoding it: to take one picture out of it, or to measure it.
package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4"
)

// maxBox bounds one box in bytes: the StreamServer's largest frame is 8 MiB by default.
const maxBox = 64 << 20

// reader takes the boxes of ISO/IEC 14496-12 as the StreamServer writes them: ftyp and moov, then moof and mdat of each frame.
type reader struct {
	r    io.Reader
	head []byte // ftyp and moov, as they were
	init fmp4.Init
}

func newReader(stream io.Reader) *reader { return &reader{r: bufio.NewReader(stream)} }

// frame is one fragment.
type frame struct {
	track *fmp4.InitTrack
	part  *fmp4.PartTrack
	// time is when decoding begins, on the stream's timeline.
	time time.Duration
	// key: decoding can begin here.
	key bool
}

func (f *frame) video() bool { return isVideo(f.track.Codec) }

func isVideo(codec mp4.Codec) bool {
	switch codec.(type) {
	case *mp4.CodecH264, *mp4.CodecH265, *mp4.CodecAV1, *mp4.CodecVP9:
		return true
	default:
		return false
	}
}

// next returns the next frame. The error is that of the connection, io.EOF at the end, or says what is wrong with the MP4.
func (r *reader) next() (*frame, error) {
	var fragment []byte
	for {
		kind, box, err := r.box()
		if err != nil {
			return nil, err
		}
		switch kind {
		case "ftyp":
			r.head = box
		case "moov":
			r.head = append(r.head, box...)
			r.init = fmp4.Init{}
			if err := r.init.Unmarshal(bytes.NewReader(r.head)); err != nil {
				return nil, fmt.Errorf("reading the MP4 header: %w", err)
			}
		case "moof":
			fragment = box
		case "mdat":
			f, err := r.frame(append(fragment, box...))
			if f != nil || err != nil {
				return f, err
			}
			fragment = nil
		}
	}
}

// box reads one box.
func (r *reader) box() (kind string, box []byte, err error) {
	const headerSize = 8
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(r.r, header); err != nil {
		return "", nil, err
	}
	size := binary.BigEndian.Uint32(header)
	if size < headerSize || size > maxBox {
		return "", nil, fmt.Errorf("this is no MP4: a box of %d bytes", size)
	}
	var b bytes.Buffer // grows with what comes, not with what is announced
	b.Write(header)
	if _, err := io.CopyN(&b, r.r, int64(size-headerSize)); err != nil {
		return "", nil, err
	}
	return string(header[4:]), b.Bytes(), nil
}

// frame reads a fragment. It is nil if it has no frame.
func (r *reader) frame(raw []byte) (*frame, error) {
	var parts fmp4.Parts
	if err := parts.Unmarshal(raw); err != nil {
		return nil, fmt.Errorf("reading an MP4 fragment: %w", err)
	}
	if len(parts) == 0 || len(parts[0].Tracks) == 0 || len(parts[0].Tracks[0].Samples) == 0 {
		return nil, nil
	}
	f := &frame{part: parts[0].Tracks[0]}
	for _, t := range r.init.Tracks {
		if t.ID == f.part.ID {
			f.track = t
		}
	}
	if f.track == nil || f.track.TimeScale == 0 {
		return nil, errors.New("an MP4 fragment of a track that was not announced")
	}
	seconds, rest := f.part.BaseTime/uint64(f.track.TimeScale), f.part.BaseTime%uint64(f.track.TimeScale)
	f.time = time.Duration(seconds)*time.Second + time.Duration(rest)*time.Second/time.Duration(f.track.TimeScale)
	f.key = !f.part.Samples[0].IsNonSyncSample
	return f, nil
}
