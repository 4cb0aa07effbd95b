// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"

	"github.com/kubeedge/datastream/tests/camera"
)

// A camera whose clock is set has decoding times again from its next random access point on, the same as before.
func TestDecodingTimesAfterJumps(t *testing.T) {
	for _, name := range []string{camera.Clock, camera.ClockBFrame, camera.ClockH265} {
		clip, err := camera.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		clip = clip.Only((*camera.Track).IsVideo)
		track := clip.Tracks[0]
		for _, jump := range []time.Duration{3 * time.Hour, 7 * time.Second, 100 * time.Millisecond, 0, -100 * time.Millisecond, -7 * time.Second, -3 * time.Hour} {
			t.Run(name+" by "+jump.String(), func(t *testing.T) {
				r := &recorder{}
				medias := []*description.Media{{Formats: []format.Format{track.Format}}}
				s, err := newSession(&description.Session{Medias: medias}, r, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				v := s.tracks[0].depacketizer.(*video)
				period := v.info.Ticks(track.Period)
				for round := range int64(3) {
					offset := round * period
					if round == 2 {
						offset += v.info.Ticks(jump)
					}
					for _, u := range track.Units {
						v.unit(u.Payload, u.PTS+offset)
					}
				}
				n := len(track.Units)
				if len(r.units) != 3*n {
					t.Fatalf("%d units of %d", len(r.units), 3*n)
				}
				const rounding = 2
				for i := n + n/2; i < 2*n; i++ { // the first group of pictures behind a jump shows how they are ordered
					before, after := r.units[i].DTSOffset, r.units[i+n].DTSOffset
					if max(before-after, after-before) > rounding {
						t.Fatalf("picture %d is shown %d ticks behind its decoding, and was %d before the jump", i-n, after, before)
					}
				}
			})
		}
	}
}
