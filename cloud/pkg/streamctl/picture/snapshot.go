// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
)

// ErrNoVideo means that a stream has sound only.
var ErrNoVideo = errors.New("the stream has no video")

// Snapshot reads a stream up to its first key frame and returns an MP4 of that one picture, which begins at zero and lasts a second.
func Snapshot(stream io.Reader) ([]byte, error) {
	r := newReader(stream)
	for {
		f, err := r.next()
		if err != nil {
			return nil, fmt.Errorf("waiting for a key frame: %w", err)
		}
		if !slices.ContainsFunc(r.init.Tracks, func(t *fmp4.InitTrack) bool { return isVideo(t.Codec) }) {
			return nil, ErrNoVideo
		}
		if f.video() && f.key {
			return r.still(f)
		}
	}
}

// still is the stream's own header, since it says more than fmp4.Init knows, and a fragment of its own.
func (r *reader) still(f *frame) ([]byte, error) {
	sample := *f.part.Samples[0]
	sample.Duration, sample.PTSOffset = f.track.TimeScale, 0
	part := fmp4.Part{Tracks: []*fmp4.PartTrack{{ID: f.track.ID, Samples: []*fmp4.Sample{&sample}}}}
	var buf seekablebuffer.Buffer
	if err := part.Marshal(&buf); err != nil {
		return nil, fmt.Errorf("writing the picture: %w", err)
	}
	return slices.Concat(r.head, bytes.Clone(buf.Bytes())), nil
}
