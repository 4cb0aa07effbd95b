// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"time"

	"github.com/kubeedge/datastream/pkg/assignment"
)

// tunnelGrace is how long a node that runs its assignment may lack tunnels before it is reminded. Redialling is the
// node's own task; the reminder is for one that has the revision but, for whatever reason, not its targets.
const tunnelGrace = 30 * time.Second

// resendPolicy says how often an assignment is sent again.
type resendPolicy struct {
	min, max time.Duration
	// jitter lengthens a wait by a random part.
	jitter func(time.Duration) time.Duration
}

// delivery is the closed loop of one node: messages to it may be lost, so the assignment is sent, with growing
// waits, until the node reports its revision and has its tunnels.
//
// A node without targets is sent its empty assignment only until the waits have grown to policy.max. It need not even
// exist any more, and if it does, it reports its revision when it comes back, which starts the loop again.
type delivery struct {
	policy  *resendPolicy
	desired string // revision
	targets int

	reported assignment.Report
	heard    bool // reported is set

	sent    string // revision; empty before the first send
	sentAt  time.Time
	backoff time.Duration // the wait after the next send
	next    time.Time     // the next send, unless settled
}

// desire sets the revision that the node shall run, and the number of its targets.
func (d *delivery) desire(revision string, targets int) {
	if revision == d.desired {
		return
	}
	d.desired, d.targets = revision, targets
	d.hurry()
}

// report takes what the node runs.
func (d *delivery) report(r assignment.Report, now time.Time) {
	wasLacking := d.lacking()
	d.reported, d.heard = r, true
	switch {
	case !d.delivered():
		d.hurry()
	case d.lacking() && !wasLacking && !d.superseded():
		d.hurry()
		if grace := now.Add(tunnelGrace); d.next.Before(grace) {
			d.next = grace
		}
	}
}

// hurry makes the next send due as soon as the policy allows, which is at once if nothing was sent lately.
func (d *delivery) hurry() {
	d.backoff = d.policy.min
	d.next = d.sentAt.Add(d.policy.min)
}

// delivered reports whether the node has said that it runs the desired revision.
func (d *delivery) delivered() bool {
	nothing := d.targets == 0 && d.reported.Revision == "" // a node that never had an assignment has none to drop
	return d.heard && (d.reported.Revision == d.desired || nothing)
}

// lacking reports whether the node runs the desired revision without all of its tunnels.
func (d *delivery) lacking() bool { return d.delivered() && d.reported.Tunnels < d.targets }

// superseded reports whether another revision than the desired one is on its way to the node, whatever it runs now.
func (d *delivery) superseded() bool { return d.sent != "" && d.sent != d.desired }

// settled reports whether there is nothing to send.
func (d *delivery) settled() bool {
	if d.superseded() {
		return false
	}
	if d.targets == 0 && d.sent != "" && d.backoff >= d.policy.max {
		return true // given up, see above
	}
	return d.delivered() && !d.lacking()
}

// nextSend returns when the assignment is to be sent again, if it is.
func (d *delivery) nextSend() (time.Time, bool) { return d.next, !d.settled() }

// due reports whether the assignment is to be sent now.
func (d *delivery) due(now time.Time) bool { return !d.settled() && !now.Before(d.next) }

// send notes that the desired revision goes out.
func (d *delivery) send(now time.Time) {
	d.sent, d.sentAt = d.desired, now
	d.next = now.Add(d.policy.jitter(d.backoff))
	d.backoff = min(2*d.backoff, d.policy.max)
}
