// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package congestion

import "time"

const (
	// lateAfter is for how long an acknowledgement may be there before it counts as read late: twice the time between two.
	lateAfter = 100 * time.Millisecond
	// lateMemory is for how long that is remembered. Once is a hiccup; again within it is a machine that is too busy.
	lateMemory = 4 * time.Second
	// mostLate bounds what is made up for.
	mostLate = time.Second
)

// lateness tells a program that does not run from a path that does not deliver. A program that is starved of processor time finds
// acknowledgements that came long ago. Until it reads them the window is full and the path, which may be a wide one, empty. Taken for
// the path's, that comes to a window for each turn of the program; the next window is what this rate fills, and so on, down
// to nearly nothing. So while the program is late, a turn belongs to the round trip: the window lasts for it, is not paced, since
// a turn may be too short for that, and what was measured across it does not count.
type lateness struct {
	unread time.Duration // for how long the newest acknowledgement was there, if that was too long
	at     time.Time     // when one was last read late
	turns  int           // how often that happened, each time at most lateMemory after the last
	usual  time.Duration // what unread usually is; 0 unless the program is starved
}

// sampled takes note of how long the newest acknowledgement was there before it was read. Where several were, all say the same.
func (l *lateness) sampled(now time.Time, unread time.Duration) {
	since := now.Sub(l.at)
	if since > lateMemory {
		l.turns, l.usual = 0, 0
	}
	l.unread = 0
	if unread <= lateAfter {
		return
	}
	if since >= unread { // else it was there when the last one was read
		l.turns++
		if l.starved() {
			l.usual += time.Duration(gain * float64(min(unread, mostLate)-l.usual))
		}
	}
	l.unread, l.at = unread, now
}

// starved says that the program is late again and again.
func (l *lateness) starved() bool { return l.turns > 1 }
