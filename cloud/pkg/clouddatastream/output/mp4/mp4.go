// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package mp4 is the output of fragmented MP4 over HTTP: for ffmpeg, VLC, NVRs, and video elements.
package mp4

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fanout"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4"
	"github.com/kubeedge/datastream/pkg/media"
)

// Name is the output's name in ?format= and in metrics.
const Name = "mp4"

// Output is one stream as fragmented MP4.
//
// A body has one initialization segment: ffmpeg skips a second one, and ends at fragments of a track that the first
// did not announce. So a viewer's body keeps the tracks that it began with. New parameter sets come in the units; sound that goes is
// missing until it comes back, sound that is new is for viewers who come after it. Where the picture's codec changes the body ends, and
// viewers have to come again for a new one.
type Output struct {
	cfg output.Config

	mu      sync.Mutex
	current *run   // for new viewers
	runs    []*run // current, and older ones that still have viewers
}

// run is what follows on one initialization segment.
type run struct {
	muxer   *fmp4.Muxer // nil while there are no tracks that can be carried
	log     *fanout.Log[output.Chunk]
	viewers int
}

var _ output.Viewable = (*Output)(nil)

// New makes the output of one stream. It is an output.Factory.
func New(_ output.Stream, cfg output.Config) output.Output {
	o := &Output{cfg: cfg}
	o.begin(nil)
	return o
}

// begin makes a new run the current one.
func (o *Output) begin(muxer *fmp4.Muxer) {
	log := output.NewLog[output.Chunk](Name, o.cfg)
	log.HeaderOnce = true
	o.current = &run{muxer: muxer, log: log}
	o.runs = append(o.runs, o.current)
}

// Open implements output.Output.
func (o *Output) Open(tracks []media.Track) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	muxer, err := fmp4.NewMuxer(tracks)
	if o.current.muxer == nil && err == nil {
		o.current.muxer = muxer // what its viewers wait for
	}
	o.end(func(r *run) bool { return r.muxer != nil && !r.muxer.Continue(tracks) })
	i := slices.IndexFunc(o.runs, func(r *run) bool { return r.muxer == nil || r.muxer.Carries(tracks) })
	if i < 0 {
		o.begin(muxer)
	} else {
		o.current = o.runs[i]
	}
	o.end(func(r *run) bool { return r != o.current && r.viewers == 0 })
	for _, r := range o.runs {
		if r.muxer != nil {
			header := output.NewChunk(r.muxer.Init())
			r.log.Begin(header, header.Size())
		}
	}
	return err
}

// end closes and forgets some runs.
func (o *Output) end(which func(*run) bool) {
	o.runs = slices.DeleteFunc(o.runs, func(r *run) bool {
		over := which(r)
		if over {
			r.log.Close()
		}
		return over
	})
}

// Write implements output.Output.
func (o *Output) Write(u *media.AccessUnit) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.runs {
		if err := r.write(u); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) write(u *media.AccessUnit) error {
	if r.muxer == nil {
		return nil
	}
	received := time.Now()
	fragment, err := r.muxer.Fragment(u)
	if err != nil || fragment == nil {
		return err
	}
	chunk := output.NewChunk(fragment)
	r.log.Append(chunk, chunk.Size(), u.RandomAccess && u.Track == r.muxer.Lead(), received)
	return nil
}

// Close implements output.Output.
func (o *Output) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end(func(*run) bool { return true })
}

// ServeHTTP implements output.Viewable.
func (o *Output) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	viewed := o.current
	viewed.viewers++
	contentType := fmp4.VideoType
	if viewed.muxer != nil {
		contentType = viewed.muxer.ContentType()
	}
	o.mu.Unlock()
	body := output.ByteStream{Name: Name, ContentType: contentType, Log: viewed.log, Config: o.cfg}
	body.ServeHTTP(w, r)
	o.mu.Lock()
	defer o.mu.Unlock()
	viewed.viewers--
	o.end(func(r *run) bool { return r != o.current && r.viewers == 0 })
}
