// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ts is the output of MPEG-TS over HTTP: for NVRs, set-top boxes, and players of the broadcast world.
// A stream remains one transport stream whatever its tracks do: those who watch follow its tables.
package ts

import (
	"time"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/pkg/media"
)

// Name is the output's name in ?format= and in metrics.
const Name = "ts"

const contentType = "video/mp2t"

// Output is one stream as MPEG-TS.
type Output struct {
	output.ByteStream
	writer writer
	buf    []byte
}

var _ output.Viewable = (*Output)(nil)

// New makes the output of one stream. It is an output.Factory.
func New(_ output.Stream, cfg output.Config) output.Output {
	return &Output{ByteStream: output.ByteStream{
		Name:        Name,
		ContentType: contentType,
		Log:         output.NewLog[output.Chunk](Name, cfg),
		Config:      cfg,
	}}
}

// Open implements output.Output.
func (o *Output) Open(tracks []media.Track) error { return o.writer.setTracks(tracks) }

// Write implements output.Output.
func (o *Output) Write(u *media.AccessUnit) (err error) {
	o.buf, err = o.writer.append(o.buf[:0], u)
	if err != nil || len(o.buf) == 0 {
		return err
	}
	chunk := output.NewChunk(o.buf)
	o.Log.Append(chunk, chunk.Size(), o.writer.isRandomAccess(u), time.Now())
	return nil
}

// Close implements output.Output.
func (o *Output) Close() { o.Log.Close() }
