// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"io"
	"time"
)

// Measurement is what a viewer got.
type Measurement struct {
	// FirstFrame is the time from the beginning to the first frame that can be shown.
	FirstFrame time.Duration
	// Frames counts frames of video, or of sound in a stream without video; Rate is how many there are in a second of the stream's time.
	Frames int
	Rate   float64
	// KeyFrameInterval is the longest distance of two key frames, by the stream's time. OnlyLonger: that key frame has not come yet, so it
	// is longer.
	KeyFrameInterval time.Duration
	OnlyLonger       bool
	KeyFrames        int
	// Video and Sound: the stream has frames of that kind.
	Video, Sound bool

	lead             int // the track that counts
	first, last, key time.Duration
	longest          time.Duration // of the distances whose ends were both seen
}

// Measure watches a stream until enough says so, or it ends. It returns what it has seen also with an error, which is that of the connection.
func Measure(stream io.Reader, began time.Time, enough func(*Measurement) bool) (*Measurement, error) {
	m, r := new(Measurement), newReader(stream)
	for {
		f, err := r.next()
		if err != nil {
			return m, err
		}
		m.take(f, time.Since(began))
		if m.Frames > 0 && enough(m) {
			return m, nil
		}
	}
}

// Span is how much of the stream's time was seen.
func (m *Measurement) Span() time.Duration { return m.last - m.first }

func (m *Measurement) take(f *frame, since time.Duration) {
	if video := f.video(); m.Frames == 0 || video && !m.Video { // what came of the sound before does not count
		*m = Measurement{FirstFrame: since, Video: video, Sound: m.Sound || !video, lead: f.part.ID, first: f.time}
	}
	m.Sound = m.Sound || !f.video()
	if f.part.ID != m.lead {
		return
	}
	m.Frames++
	m.last = f.time
	if f.key {
		if m.KeyFrames > 0 {
			m.longest = max(m.longest, f.time-m.key)
		}
		m.key = f.time
		m.KeyFrames++
	}
	open := f.time - m.key
	m.OnlyLonger = m.KeyFrames < 2 || open > m.longest
	m.KeyFrameInterval = max(m.longest, open)
	if span := m.Span(); span > 0 {
		m.Rate = float64(m.Frames-1) / span.Seconds()
	}
}
