// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package limit

import (
	"math"
	"sync/atomic"
)

// Memory is shared by caches that can do with less. Each asks Free before it grows and keeps no more than that: so it has at most as much
// as all of them leave, and what one frees is for all. A nil Memory has no bound.
type Memory struct {
	total int64
	used  atomic.Int64
}

// NewMemory makes a Memory of so many bytes.
func NewMemory(bytes int) *Memory { return &Memory{total: int64(bytes)} }

// Add tells of bytes that are kept now, or not any more if delta is negative.
func (m *Memory) Add(delta int) {
	if m != nil {
		m.used.Add(int64(delta))
	}
}

// Used is what all keep, in bytes.
func (m *Memory) Used() int {
	if m == nil {
		return 0
	}
	return int(m.used.Load())
}

// Free is what is left, in bytes, and what one cache may have at most.
func (m *Memory) Free() int {
	if m == nil {
		return math.MaxInt
	}
	return int(max(m.total-m.used.Load(), 0))
}
