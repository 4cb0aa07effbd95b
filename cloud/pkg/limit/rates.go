// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package limit

import (
	"sync"
	"time"
)

// maxKeys bounds the callers that a Rates knows at a time. Those beyond share one rate.
const maxKeys = 4096

// Rates bounds how often each of many callers calls. It remembers a caller only while that makes a difference.
type Rates[K comparable] struct {
	interval time.Duration
	burst    time.Duration // the calls at once, in time

	mu    sync.Mutex
	over  map[K]time.Time // when the calls of each are made up for: the generic cell rate algorithm (ITU-T I.371)
	swept time.Time
}

// NewRates allows each caller so many calls at once, and then so many a second.
func NewRates[K comparable](perSecond, burst int) *Rates[K] {
	interval := time.Second / time.Duration(perSecond)
	return &Rates[K]{interval: interval, burst: interval * time.Duration(burst), over: make(map[K]time.Time)}
}

// Take counts a call of key, or says how long it has to wait for one.
func (r *Rates[K]) Take(key K, now time.Time) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.over[key]; !known && !r.room(now) {
		var crowd K
		key = crowd
	}
	over := r.over[key]
	if over.Before(now) {
		over = now
	}
	over = over.Add(r.interval)
	if wait := over.Sub(now) - r.burst; wait > 0 {
		return wait
	}
	r.over[key] = over
	return 0
}

// room says whether another caller can be remembered, and makes room at most once a second.
func (r *Rates[K]) room(now time.Time) bool {
	if len(r.over) < maxKeys {
		return true
	}
	if now.Sub(r.swept) < time.Second {
		return false
	}
	r.swept = now
	for key, over := range r.over {
		if !over.After(now) {
			delete(r.over, key)
		}
	}
	return len(r.over) < maxKeys
}
