// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package limit

import "errors"

// ErrShare says that the caller has more than its share: it overdoes. ErrFull says that there is nothing left for anybody.
var (
	ErrShare = errors.New("more than a fair share")
	ErrFull  = errors.New("nothing is left")
)

// shares says how much of a total each of many may hold: no more than all of them leave free. One alone gets half, two get a third each, ten
// get an eleventh each. So there is always something left for whoever comes next, and many who share an address are not bound as
// one (dynamic thresholds: Choudhury and Hahne, 1998). It is not safe for concurrent use.
type shares[K comparable] struct {
	total int
	all   int
	held  map[K]int
}

func newShares[K comparable](total int) shares[K] {
	return shares[K]{total: total, held: make(map[K]int)}
}

// fits says whether key may hold one more: nil, ErrShare or ErrFull.
func (s *shares[K]) fits(key K) error {
	switch free := s.total - s.all; {
	case free <= 0:
		return ErrFull
	case s.held[key] >= free:
		return ErrShare
	default:
		return nil
	}
}

func (s *shares[K]) take(key K) {
	s.all++
	s.held[key]++
}

func (s *shares[K]) giveBack(key K) {
	s.all--
	if s.held[key]--; s.held[key] <= 0 {
		delete(s.held, key)
	}
}
