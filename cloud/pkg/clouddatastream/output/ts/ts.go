// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ts is the output of MPEG-TS over HTTP: for NVRs, set-top boxes, and players of the broadcast world.
// A viewer's body goes on whatever the tracks do: new parameter sets are in-band, and the next tables tell of other codecs and tracks.
// Where a unit does not follow on the one before, the first packet of each PID has the discontinuity indicator.
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
func (o *Output) Write(u *media.AccessUnit) error {
	received, start := time.Now(), o.writer.isRandomAccess(u)
	packets, err := o.writer.write(u)
	if err != nil || packets == nil {
		return err
	}
	chunk := output.NewChunk(packets)
	o.Log.Append(chunk, chunk.Size(), start, received)
	return nil
}

// Close implements output.Output.
func (o *Output) Close() { o.Log.Close() }
