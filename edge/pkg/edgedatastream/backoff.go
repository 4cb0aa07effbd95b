// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// backoff spreads tries between min and max: each wait is drawn from a range that begins at min and whose
// end doubles with each try, so that many clients of a server that comes back do not come all at once.
type backoff struct {
	min, max time.Duration
	end      time.Duration
}

// next returns how long to wait before the next try.
func (b *backoff) next() time.Duration {
	if b.end == 0 {
		b.end = b.min
	}
	b.end = min(2*b.end, b.max)
	if b.end <= b.min {
		return b.min
	}
	return b.min + rand.N(b.end-b.min)
}

// after returns how long to wait before the next try, the last one having failed with err. Who refused may say how
// long. Where nobody answered, the wait does not grow: such a try burdens nobody, and when the path is back,
// waits that have grown would be all that is in the way.
func (b *backoff) after(err error) time.Duration {
	var refused *refusedError
	switch {
	case errors.Is(err, errUnanswered):
		return b.min/4 + rand.N(max(b.min/2, 1))
	case errors.As(err, &refused):
		return max(b.next(), refused.retryAfter)
	default:
		return b.next()
	}
}

// reset begins anew after a success.
func (b *backoff) reset() { b.end = 0 }

// wait waits for d, less if one of the two gets a value first; it returns false once ctx has ended.
func wait(ctx context.Context, d time.Duration, wake, hurry <-chan struct{}) (woken, ok bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false, false
	case <-wake:
		return true, true
	case <-hurry:
		return true, true
	case <-t.C:
		return false, true
	}
}

// signal is a channel that remembers one value.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

// clear forgets the value.
func (s signal) clear() {
	select {
	case <-s:
	default:
	}
}

// set wakes whoever waits, or who will.
func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}
