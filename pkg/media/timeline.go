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
	// maxJump is how much a source's clock may differ from the wall clock between two units before
	// it counts as set anew.
	maxJump = 10 * time.Second
	// maxSource bounds a source's timestamps, so that they convert to time.Duration.
	maxSource = int64(math.MaxInt64/time.Second) / 4
	// maxElapsed bounds what the wall clock may say has passed, for the same reason.
	maxElapsed = 30 * 24 * time.Hour
)

// Timeline maps the timestamps of a source, which begin anew whenever the camera does, to one
// timeline that only moves forward for as long as there are viewers. It is not safe for concurrent use.
type Timeline struct {
	tracks [256]trackTimeline
	// last is the newest DTS handed out for any track; lastAt is when. Zero: none yet.
	last   time.Duration
	lastAt time.Time
	offset time.Duration
	// restart: the next unit's clock has nothing to do with that of the one before.
	restart bool
}

type trackTimeline struct {
	track  *Track
	offset int64 // ticks
	next   int64 // the least DTS that the next unit may have
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
			k.offset, k.next = tr.Ticks(t.offset), tr.Ticks(k.track.Duration(k.next))+1
		}
		k.track = tr
		kept[tr.ID] = k
	}
	t.tracks = kept
}

// Restart tells that the source's clock began anew.
func (t *Timeline) Restart() { t.restart = true }

// Map returns a copy of u with its place on the timeline. After Restart, or where the source's clock jumped, the timeline
// goes on where it would be now. Decoding times grow strictly within a track.
func (t *Timeline) Map(u *AccessUnit, now time.Time) (*AccessUnit, error) {
	tt := &t.tracks[u.Track]
	if tt.track == nil {
		return nil, fmt.Errorf("access unit of track %d, which was not announced", u.Track)
	}
	if s := u.DTS() / int64(tt.track.ClockRate); s > maxSource || s < -maxSource {
		return nil, fmt.Errorf("access unit of track %d: timestamp %d is out of range", u.Track, u.PTS)
	}
	source := tt.track.Duration(u.DTS())
	if t.restart || t.lastAt.IsZero() || t.jumped(source, now) {
		t.anchor(source, now)
	}

	if source+t.offset > time.Duration(maxSource)*time.Second {
		return nil, fmt.Errorf("access unit of track %d: the timeline has come to its end", u.Track)
	}

	out := *u
	out.PTS += tt.offset
	if out.DTS() < tt.next { // a camera whose clock stutters, or a track that began long before the first one
		out.PTS = tt.next + int64(out.DTSOffset)
	}
	tt.next = out.DTS() + 1
	if d := tt.track.Duration(out.DTS()); d > t.last {
		t.last = d
	}
	t.lastAt = now
	return &out, nil
}

func (t *Timeline) jumped(source time.Duration, now time.Time) bool {
	step := source + t.offset - t.last
	return step < -maxJump || step > maxJump+t.elapsed(now)
}

// elapsed is how long ago the last unit came.
func (t *Timeline) elapsed(now time.Time) time.Duration {
	return min(max(now.Sub(t.lastAt), 0), maxElapsed)
}

// anchor makes source the present: as far behind the last unit as the wall clock says.
func (t *Timeline) anchor(source time.Duration, now time.Time) {
	target := headroom
	if !t.lastAt.IsZero() {
		target = t.last + max(t.elapsed(now), time.Millisecond)
	}
	t.restart = false
	t.offset = target - source
	for i := range t.tracks {
		if tr := t.tracks[i].track; tr != nil {
			t.tracks[i].offset = tr.Ticks(t.offset)
		}
	}
}
