// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// A hold that is over just when the tunnel comes back and goes again does not end the one that begins then.
func TestHoldEndsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.detach()
		r.mutex.Lock()
		time.Sleep(r.config.Source.HoldTime.Duration) // now its end waits for the mutex
		r.endHold()                                   // the tunnel has come back
		r.beginHold()                                 // and gone again
		r.mutex.Unlock()
		synctest.Wait()
		if r.figures(time.Now()).state != tunnel.Connecting {
			t.Error("the source was ended with the hold before")
		}
		time.Sleep(r.config.Source.HoldTime.Duration)
		synctest.Wait()
		if r.figures(time.Now()).state != tunnel.Idle {
			t.Error("the source was not ended")
		}
	})
}
