// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package limit

import (
	"sync"
	"time"
)

// Turns hands out turns at a rate, with some in advance. Nobody may have taken more of those that the rate has not made up
// for yet than are still to be had: a flood leaves turns to others, and slows itself down.
type Turns[K comparable] struct {
	interval time.Duration // in which one turn is made up for

	mu     sync.Mutex
	shares shares[K]
	taken  []turn[K] // not made up for yet, in order
}

type turn[K comparable] struct {
	key  K
	over time.Time // when it is made up for
}

// NewTurns makes Turns of which a turn is made up for at each interval. So many as ahead may be taken in advance.
func NewTurns[K comparable](interval time.Duration, ahead int) *Turns[K] {
	return &Turns[K]{interval: interval, shares: newShares[K](ahead)}
}

// Take takes a turn. ahead is by how much the turns that are taken are in advance of the rate, with this one. The errors are ErrShare
// and ErrFull.
func (t *Turns[K]) Take(key K, now time.Time) (ahead time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for ; n < len(t.taken) && !t.taken[n].over.After(now); n++ {
		t.shares.giveBack(t.taken[n].key)
	}
	t.taken = t.taken[n:]
	if err := t.shares.fits(key); err != nil {
		return 0, err
	}
	begin := now
	if len(t.taken) > 0 {
		begin = t.taken[len(t.taken)-1].over
	}
	over := begin.Add(t.interval)
	t.shares.take(key)
	t.taken = append(t.taken, turn[K]{key, over})
	return over.Sub(now), nil
}
