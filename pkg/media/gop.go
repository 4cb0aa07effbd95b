// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package media

import "time"

// unitOverhead is about what a unit takes in memory beside its payload, so that a flood of tiny ones is bounded too.
const unitOverhead = 128

// GOP caches the units from the stream's newest random access point on, so that whoever
// comes later has a picture at once. It is not safe for concurrent use.
type GOP struct {
	// MaxBytes (of payloads, plus a little for each unit) and MaxDuration (by capture time) bound it. A GOP that outgrows them is dropped whole, since its
	// tail cannot be decoded alone; the cache is then empty up to the next random access point.
	MaxBytes    int
	MaxDuration time.Duration

	units []*AccessUnit
	bytes int
}

// Push takes the next unit of the stream; lead is the ID of the track that Lead names.
func (g *GOP) Push(u *AccessUnit, lead uint8) {
	if u.Track == lead && u.RandomAccess {
		g.Reset()
	} else if len(g.units) == 0 {
		return
	}
	g.units = append(g.units, u)
	g.bytes += len(u.Payload)
	if g.bytes+len(g.units)*unitOverhead > g.MaxBytes || u.Capture.Sub(g.units[0].Capture) > g.MaxDuration {
		g.Reset()
	}
}

// Units returns the cached units, oldest first. The slice is valid up to the next Push or Reset.
func (g *GOP) Units() []*AccessUnit { return g.units }

// Bytes is the size of the cached payloads.
func (g *GOP) Bytes() int { return g.bytes }

// Reset empties the cache.
func (g *GOP) Reset() {
	clear(g.units) // lets go of the payloads, keeps the room
	g.units, g.bytes = g.units[:0], 0
}
