// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// timelineTest feeds one Timeline and checks what must always hold.
type timelineTest struct {
	testing.TB
	timeline Timeline
	tracks   []Track
	last     map[uint8]int64
	now      time.Time
	capture  time.Time // of the units to come
}

func newTimelineTest(tb testing.TB, tracks ...Track) *timelineTest {
	if len(tracks) == 0 {
		tracks = []Track{h264Track(), aacTrack()}
	}
	tt := &timelineTest{TB: tb, tracks: tracks, last: map[uint8]int64{}, now: epoch}
	tt.timeline.SetTracks(tracks)
	return tt
}

// unit maps a unit of the given source time and returns where it came to be.
func (tt *timelineTest) unit(id uint8, source time.Duration) time.Duration {
	tt.Helper()
	return tt.reordered(id, source, 0)
}

func (tt *timelineTest) reordered(id uint8, source time.Duration, offset int32) time.Duration {
	tt.Helper()
	tr := Find(tt.tracks, id)
	u := &AccessUnit{Track: id, PTS: tr.Ticks(source), DTSOffset: offset, Sequence: 7, Capture: tt.capture, Payload: []byte{1}}
	before := *u
	out, err := tt.timeline.Map(u, tt.now)
	if err != nil {
		tt.Fatal(err)
	}
	if out == u || u.PTS != before.PTS {
		tt.Fatal("Map changed its argument")
	}
	if out.DTSOffset != offset || out.Sequence != 7 || &out.Payload[0] != &u.Payload[0] {
		tt.Fatalf("Map changed more than the time: %+v", out)
	}
	tt.check(out)
	return tr.Duration(out.PTS)
}

func (tt *timelineTest) check(out *AccessUnit) {
	tt.Helper()
	if last, ok := tt.last[out.Track]; ok && out.DTS() <= last {
		tt.Fatalf("track %d: DTS %d behind %d", out.Track, out.DTS(), last)
	}
	if out.DTS() < 0 {
		tt.Fatalf("track %d: DTS %d", out.Track, out.DTS())
	}
	tt.last[out.Track] = out.DTS()
}

func (tt *timelineTest) want(what string, got, want time.Duration) {
	tt.Helper()
	if d := got - want; d > 100*time.Microsecond || d < -100*time.Microsecond {
		tt.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestTimelineBeginsAtHeadroom(t *testing.T) {
	for _, source := range []time.Duration{0, time.Hour, -time.Hour, 13 * 365 * 24 * time.Hour} {
		tt := newTimelineTest(t)
		tt.want("first", tt.unit(videoID, source), headroom)
		tt.want("audio from before", tt.unit(audioID, source-300*time.Millisecond), headroom-300*time.Millisecond)
		tt.now = tt.now.Add(40 * time.Millisecond)
		tt.want("next", tt.unit(videoID, source+40*time.Millisecond), headroom+40*time.Millisecond)
	}
}

func TestTimelineAudioFromLongBefore(t *testing.T) {
	tt := newTimelineTest(t)
	tt.unit(videoID, 10*time.Second)
	tt.want("audio that would be negative", tt.unit(audioID, 8*time.Second), 0)
	tt.want("audio in time", tt.unit(audioID, 10*time.Second), headroom)
}

func TestTimelineRestart(t *testing.T) {
	tt := newTimelineTest(t)
	last := tt.unit(videoID, time.Hour)
	tt.now = tt.now.Add(7 * time.Second)
	tt.timeline.Restart()
	tt.want("video goes on with the wall clock's gap", tt.unit(videoID, 5*time.Second), last+7*time.Second)
	tt.want("audio is in sync", tt.unit(audioID, 5*time.Second+20*time.Millisecond), last+7*time.Second+20*time.Millisecond)
	tt.now = tt.now.Add(40 * time.Millisecond)
	tt.want("next", tt.unit(videoID, 5*time.Second+40*time.Millisecond), last+7*time.Second+40*time.Millisecond)
}

func TestTimelineRestartAtOnce(t *testing.T) {
	tt := newTimelineTest(t)
	last := tt.unit(videoID, time.Hour)
	tt.timeline.Restart()
	tt.want("no time has passed", tt.unit(videoID, 0), last+time.Millisecond)
	tt.timeline.Restart()
	tt.now = tt.now.Add(-time.Hour)
	tt.want("the wall clock went back", tt.unit(videoID, 0), last+2*time.Millisecond)
}

func TestTimelineClockJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{
		"forward": 24 * time.Hour, "back": -24 * time.Hour,
		"just over the bound": maxAhead + time.Second, "just over it, back": -maxBack - time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			const frame = 40 * time.Millisecond
			tt := newTimelineTest(t)
			tt.unit(videoID, time.Hour)
			tt.unit(audioID, time.Hour)
			tt.now = tt.now.Add(frame)
			last := tt.unit(videoID, time.Hour+frame)
			tt.now = tt.now.Add(frame)
			tt.want("video", tt.unit(videoID, time.Hour+jump+2*frame), last+frame)
			tt.want("audio from before", tt.unit(audioID, time.Hour+frame), last)
			tt.want("audio", tt.unit(audioID, time.Hour+jump+2*frame), last+frame)
		})
	}
}

// One track's clock jumps, the other's does not: both go on as before.
func TestTimelineOneTrackJumps(t *testing.T) {
	const frame = 40 * time.Millisecond
	tt := newTimelineTest(t)
	for i := range 100 {
		at := time.Duration(i) * frame
		tt.now = tt.now.Add(frame)
		jump := time.Duration(0)
		if i >= 50 {
			jump = time.Hour
		}
		tt.want("video", tt.unit(videoID, at), headroom+at)
		tt.want("audio", tt.unit(audioID, at+jump), headroom+at)
	}
}

func TestTimelineGapIsNoJump(t *testing.T) {
	tt := newTimelineTest(t)
	last := tt.unit(videoID, 0)
	tt.now = tt.now.Add(time.Hour) // paused: the source's clock went on
	tt.want("video", tt.unit(videoID, time.Hour), last+time.Hour)
	for i := range 250 { // what was held up on the way comes at once
		at := time.Hour + time.Duration(i)*40*time.Millisecond
		tt.want("a burst", tt.unit(videoID, at), last+at)
	}
}

// Frames that were dropped on the way are no jump, though the next one comes at once: it was captured later.
func TestTimelineDropsAreNoJump(t *testing.T) {
	tt := newTimelineTest(t)
	tt.capture = epoch
	last := tt.unit(videoID, 0)
	tt.capture = epoch.Add(8 * time.Second)
	tt.want("the next one", tt.unit(videoID, 8*time.Second), last+8*time.Second)
	// The edge's clock is set: it says nothing then, and the cloud's counts.
	tt.capture = epoch.Add(-time.Hour)
	tt.now = tt.now.Add(40 * time.Millisecond)
	tt.want("the edge's clock went back", tt.unit(videoID, 8*time.Second+40*time.Millisecond), last+8*time.Second+40*time.Millisecond)
}

// Behind a break that took no time the last unit keeps its length: the two do not overlap.
func TestTimelineBreakLeavesRoom(t *testing.T) {
	const frame = 40 * time.Millisecond
	tt := newTimelineTest(t)
	tt.unit(videoID, 0)
	last := tt.unit(videoID, frame)
	tt.timeline.Restart()
	tt.want("the next one", tt.unit(videoID, time.Hour), last+frame)
}

func TestTimelineStutter(t *testing.T) {
	tt := newTimelineTest(t)
	first := tt.unit(videoID, time.Second)
	tick := time.Second / 90000
	tt.want("the same again", tt.unit(videoID, time.Second), first+tick)
	tt.want("a little back", tt.unit(videoID, 900*time.Millisecond), first+2*tick)
	tt.want("recovered", tt.unit(videoID, 1100*time.Millisecond), first+100*time.Millisecond)
}

func TestTimelineReordering(t *testing.T) {
	tt := newTimelineTest(t)
	const frame = 40 * time.Millisecond
	// I0 P3 B1 B2 in decoding order, each a frame of decoding time apart.
	base := tt.reordered(videoID, 1*frame, 3600)
	for _, c := range []struct {
		pts    time.Duration
		offset int32
	}{{4 * frame, 3 * 3600}, {2 * frame, 0}, {3 * frame, 0}} {
		tt.now = tt.now.Add(frame)
		tt.want("PTS", tt.reordered(videoID, c.pts, c.offset), base+c.pts-frame)
	}
}

func TestTimelineNewTrack(t *testing.T) {
	tt := newTimelineTest(t, h264Track())
	tt.unit(videoID, time.Hour)
	tt.timeline.Restart()
	tt.now = tt.now.Add(time.Second)
	at := tt.unit(videoID, time.Minute)

	tt.tracks = []Track{h264Track(), aacTrack()}
	tt.timeline.SetTracks(tt.tracks)
	tt.want("audio joins in sync", tt.unit(audioID, time.Minute), at)
	tt.want("video keeps its place", tt.unit(videoID, time.Minute+time.Second), at+time.Second)

	slower := aacTrack()
	slower.ClockRate = 16000
	tt.tracks = []Track{h264Track(), slower}
	tt.timeline.SetTracks(tt.tracks)
	tt.last = map[uint8]int64{}
	tt.want("the audio's clock rate changed", tt.unit(audioID, time.Minute+time.Second), at+time.Second)
	if got := tt.unit(videoID, time.Minute+2*time.Second); got <= at {
		t.Errorf("video went back to %v", got)
	}
}

// A track whose clock rate changes does not go back in time.
func TestTimelineNewClockRate(t *testing.T) {
	tt := newTimelineTest(t)
	before := tt.unit(audioID, time.Second)
	slower := aacTrack()
	slower.ClockRate = 8000
	tt.tracks = []Track{h264Track(), slower}
	tt.timeline.SetTracks(tt.tracks)
	tt.last = map[uint8]int64{}
	if got := tt.unit(audioID, 500*time.Millisecond); got <= before {
		t.Errorf("got %v behind %v", got, before)
	}
}

func TestTimelineErrors(t *testing.T) {
	tt := newTimelineTest(t)
	for name, u := range map[string]*AccessUnit{
		"unknown track":         {Track: 9},
		"far future":            {Track: videoID, PTS: math.MaxInt64 / 2},
		"far past":              {Track: videoID, PTS: math.MinInt64 / 2},
		"smallest, overflowing": {Track: videoID, PTS: math.MinInt64, DTSOffset: 1},
		"largest, overflowing":  {Track: videoID, PTS: math.MaxInt64, DTSOffset: -1},
	} {
		if out, err := tt.timeline.Map(u, tt.now); err == nil {
			t.Errorf("%s: got %+v, want an error", name, out)
		}
	}
	tt.want("the timeline still works", tt.unit(videoID, 0), headroom)
	tt.timeline.SetTracks([]Track{h264Track()})
	if _, err := tt.timeline.Map(&AccessUnit{Track: audioID}, tt.now); err == nil {
		t.Error("a track that is gone was mapped")
	}
}

// FuzzTimeline: whatever a source and the wall clock do, decoding times are not negative and grow strictly.
func FuzzTimeline(f *testing.F) {
	step := func(what, track byte, source, now int64, offset int32) []byte {
		b := binary.BigEndian.AppendUint64([]byte{what, track}, uint64(source))
		b = binary.BigEndian.AppendUint64(b, uint64(now))
		return binary.BigEndian.AppendUint32(b, uint32(offset))
	}
	f.Add(step(0, 1, 0, 0, 0))
	f.Add(append(step(0, 1, 900000, 0, 0), step(0, 2, 384000, 0, 0)...))
	f.Add(append(step(0, 1, 1<<40, 1, 3600), step(1, 2, -1<<40, 1<<40, -3600)...))
	f.Add(append(step(0, 3, math.MaxInt64/4, math.MaxInt64, 1), step(1, 3, math.MinInt64/4, math.MinInt64, -1)...))
	f.Add(append(step(0, 4, 1<<20, math.MaxInt64, math.MaxInt32), step(1, 4, 1<<20, math.MaxInt64, math.MinInt32)...))
	f.Fuzz(func(t *testing.T, script []byte) {
		tt := newTimelineTest(t, h264Track(), aacTrack(),
			Track{ID: 3, Kind: Data, Codec: Opaque, ClockRate: 1_000_000_000}, Track{ID: 4, Kind: Data, Codec: Opaque, ClockRate: 1})
		for ; len(script) >= 22; script = script[22:] {
			if script[0]&1 != 0 {
				tt.timeline.Restart()
			}
			tt.now = tt.now.Add(time.Duration(binary.BigEndian.Uint64(script[10:])))
			u := &AccessUnit{
				Track: script[1], PTS: int64(binary.BigEndian.Uint64(script[2:])), DTSOffset: int32(binary.BigEndian.Uint32(script[18:])),
			}
			if out, err := tt.timeline.Map(u, tt.now); err == nil {
				tt.check(out)
			}
		}
	})
}
