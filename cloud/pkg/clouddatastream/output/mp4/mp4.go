// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package mp4 is the output of fragmented MP4 over HTTP: for ffmpeg, VLC, NVRs, and video elements.
package mp4

import (
	"net/http"
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
// Players ignore a second initialization segment in one body. So where only parameter sets change, viewers
// keep their body and find them in the units; where codecs or the set of tracks change the body ends, and
// viewers have to come again for a new one.
type Output struct {
	cfg   output.Config
	muxer *fmp4.Muxer // nil while the tracks cannot be carried
	lead  uint8

	mu          sync.Mutex // guards what ServeHTTP reads
	log         *fanout.Log[output.Chunk]
	contentType string
}

var _ output.Viewable = (*Output)(nil)

// New makes the output of one stream. It is an output.Factory.
func New(_ output.Stream, cfg output.Config) output.Output {
	return &Output{cfg: cfg, log: newLog(cfg), contentType: fmp4.VideoType}
}

func newLog(cfg output.Config) *fanout.Log[output.Chunk] {
	log := output.NewLog[output.Chunk](Name, cfg)
	log.HeaderOnce = true
	return log
}

// Open implements output.Output.
func (o *Output) Open(tracks []media.Track) error {
	log := o.log // only Open changes it
	if o.muxer == nil || !o.muxer.Continue(tracks) {
		muxer, err := fmp4.NewMuxer(tracks)
		if o.muxer != nil {
			o.log.Close()
			log = newLog(o.cfg)
		}
		o.muxer = muxer
		if err != nil {
			o.set(log, fmp4.VideoType)
			return err
		}
	}
	o.lead = o.muxer.Lead()
	header := output.NewChunk(o.muxer.Init())
	log.Begin(header, header.Size())
	o.set(log, o.muxer.ContentType())
	return nil
}

func (o *Output) set(log *fanout.Log[output.Chunk], contentType string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log, o.contentType = log, contentType
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
	chunk := output.NewChunk(fragment)
	o.log.Append(chunk, chunk.Size(), u.RandomAccess && u.Track == o.lead, time.Now())
	return nil
}

// Close implements output.Output.
func (o *Output) Close() { o.log.Close() }

// ServeHTTP implements output.Viewable.
func (o *Output) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	body := output.ByteStream{Name: Name, ContentType: o.contentType, Log: o.log, Config: o.cfg}
	o.mu.Unlock()
	body.ServeHTTP(w, r)
}
