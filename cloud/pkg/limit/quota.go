// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package limit

import "sync"

// Quota bounds how much each of many holds at a time.
type Quota[K comparable] struct {
	max int

	mu   sync.Mutex
	held map[K]int
}

// NewQuota lets each hold up to most.
func NewQuota[K comparable](most int) *Quota[K] {
	return &Quota[K]{max: most, held: make(map[K]int)}
}

// Take takes one for key, if it has not got all that it may have. Give it back when it is not needed any more.
func (q *Quota[K]) Take(key K) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held[key] >= q.max {
		return false
	}
	q.held[key]++
	return true
}

// GiveBack gives back what Take took.
func (q *Quota[K]) GiveBack(key K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held[key]--; q.held[key] <= 0 {
		delete(q.held, key)
	}
}
