// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"fmt"
	"math"
	"time"
)

const (
	// headroom is where a timeline begins: units of another track that were captured a little before
	// the first one must not become negative.
	headroom = time.Second
	// maxAhead is how much further than the clocks of edge and cloud a track may move between two of its units, and maxBack how
	// far it may go back, before its source's clock counts as set anew. Packets that were held up come in a burst,
	// so a track may always move less than the clocks.
	maxAhead = 2 * time.Second
	maxBack  = time.Second
	// maxSkew is how far two tracks may be apart.
	maxSkew = 10 * time.Second
	// maxStep bounds the distance of two units that follow on each other; what is longer is a pause.
	maxStep = time.Second
	// maxSource bounds a source's timestamps, so that they convert to time.Duration.
	maxSource = int64(math.MaxInt64/time.Second) / 4
	// maxElapsed bounds what a clock may say has passed, for the same reason.
	maxElapsed = 30 * 24 * time.Hour
)

// Timeline maps the timestamps of a source, which begin anew whenever the camera does, to one
// timeline that only moves forward for as long as there are viewers. It is not safe for concurrent use.
type Timeline struct {
	tracks [256]trackTimeline
	// last is the newest DTS handed out for any track; lastAt is when. Zero: none yet.
	last   time.Duration
	lastAt time.Time
	// offset is what the newest clock is ahead of the source's. Tracks take it over one by one.
	offset time.Duration
	// restart: the next unit's clock has nothing to do with that of the one before.
	restart bool
}

type trackTimeline struct {
	track  *Track
	offset int64 // ticks
	next   int64 // the least DTS that the next unit may have
	// Of the newest unit: its DTS, when it came, when it was captured, and its distance from the one before.
	last    int64
	at      time.Time // zero: none yet
	capture time.Time
	step    int64
}

// SetTracks names the tracks of the units to come. Running tracks keep their place.
func (t *Timeline) SetTracks(tracks []Track) {
	var kept [256]trackTimeline
	for i := range tracks {
		tr := &tracks[i]
		k := t.tracks[tr.ID]
		switch {
		case k.track == nil:
			k.offset = tr.Ticks(t.offset)
		case k.track.ClockRate != tr.ClockRate:
			k = trackTimeline{offset: tr.Ticks(t.offset), next: tr.Ticks(k.track.Duration(k.next)) + 1}
		}
		k.track = tr
		kept[tr.ID] = k
	}
	t.tracks = kept
}

// Restart tells that the source's clock began anew, for all tracks.
func (t *Timeline) Restart() { t.restart = true }

// Map returns a copy of u with its place on the timeline. After Restart, or where the source's clock jumped, the timeline
// goes on where it would be now. Decoding times grow strictly within a track. Only differences of now count: where it has a monotonic
// reading, the wall clock may be set without harm.
func (t *Timeline) Map(u *AccessUnit, now time.Time) (*AccessUnit, error) {
	tt := &t.tracks[u.Track]
	if tt.track == nil {
		return nil, fmt.Errorf("access unit of track %d, which was not announced", u.Track)
	}
	if s := u.DTS() / int64(tt.track.ClockRate); s > maxSource || s < -maxSource {
		return nil, fmt.Errorf("access unit of track %d: timestamp %d is out of range", u.Track, u.PTS)
	}
	source := tt.track.Duration(u.DTS())
	t.place(tt, source, u.Capture, now)
	if source+tt.track.Duration(tt.offset) > time.Duration(maxSource)*time.Second {
		return nil, fmt.Errorf("access unit of track %d: the timeline has come to its end", u.Track)
	}

	out := *u
	out.PTS += tt.offset
	if out.DTS() < tt.next { // a camera whose clock stutters, or a track that began long before the first one
		out.PTS = tt.next + int64(out.DTSOffset)
	}
	dts := out.DTS()
	if step := dts - tt.last; !tt.at.IsZero() && step <= tt.track.Ticks(maxStep) {
		tt.step = step
	}
	tt.next, tt.last, tt.at, tt.capture = dts+1, dts, now, u.Capture
	t.last = max(t.last, tt.track.Duration(dts))
	t.lastAt = now
	return &out, nil
}

// place finds the track's offset for a unit of that source time.
func (t *Timeline) place(tt *trackTimeline, source time.Duration, capture, now time.Time) {
	if t.restart || t.lastAt.IsZero() {
		t.anchor(tt, source, now)
		t.restart = false
		for i := range t.tracks {
			if tr := t.tracks[i].track; tr != nil {
				t.tracks[i].offset = tr.Ticks(t.offset)
			}
		}
		return
	}
	if t.plausible(tt, source+tt.track.Duration(tt.offset), capture, now) {
		return
	}
	// Another track may have met the same jump before. If not this one is alone, or the first: the others follow when they jump.
	if !t.plausible(tt, source+t.offset, capture, now) {
		t.anchor(tt, source, now)
	}
	tt.offset = tt.track.Ticks(t.offset)
}

// plausible says whether a track may go on at target.
func (t *Timeline) plausible(tt *trackTimeline, target time.Duration, capture, now time.Time) bool {
	if tt.at.IsZero() {
		d := target - t.last
		return d >= -maxSkew && d <= maxSkew+elapsed(t.lastAt, now)
	}
	d := target - tt.track.Duration(tt.last)
	return d >= -maxBack && d <= maxAhead+max(elapsed(tt.at, now), elapsed(tt.capture, capture))
}

// elapsed is the time from one to the other, if both are known, within bounds.
func elapsed(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return min(max(to.Sub(from), 0), maxElapsed)
}

// anchor makes source the present: as far behind the newest unit as the clock says. Where only this track jumped it keeps its own pace, and nowhere
// does its unit begin before the one before has ended.
func (t *Timeline) anchor(tt *trackTimeline, source time.Duration, now time.Time) {
	end := tt.track.Duration(tt.last + tt.step)
	switch {
	case t.lastAt.IsZero():
		t.offset = headroom - source
	case t.restart || tt.at.IsZero():
		t.offset = max(t.last+max(elapsed(t.lastAt, now), time.Millisecond), end) - source
	default:
		t.offset = max(tt.track.Duration(tt.last)+elapsed(tt.at, now), end) - source
	}
}
