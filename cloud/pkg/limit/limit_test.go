// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package limit

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestSourceOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80":                    "192.0.2.1/32",
		"[::ffff:192.0.2.1]:80":           "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:80":       "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:443":      "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":                "fe80::/64",
		"@":                               "invalid Prefix",
		"":                                "invalid Prefix",
		"pipe":                            "invalid Prefix",
		"host.example.com:80":             "invalid Prefix",
		"[2001:db8:ffff:ffff:ffff::1]:65": "2001:db8:ffff:ffff::/64",
	} {
		if got := SourceOf(remote).String(); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

// One alone gets half, and each other one finds something.
func TestShares(t *testing.T) {
	s := newShares[int](1000)
	takeAll := func(key int) (n int) {
		for s.fits(key) == nil {
			s.take(key)
			n++
		}
		return n
	}
	for key, want := range []int{500, 250, 125, 63, 31} {
		if got := takeAll(key); got != want {
			t.Errorf("the greedy number %d gets %d, want %d", key+1, got, want)
		}
	}
	if err := s.fits(0); !errors.Is(err, ErrShare) {
		t.Error(err)
	}
	for range 500 {
		s.giveBack(0)
	}
	if got := takeAll(4); got == 0 {
		t.Error("what the first gave back is for nobody")
	}
	small := newShares[int](1)
	if got := small.fits(1); got != nil {
		t.Error(got)
	}
	small.take(1)
	if err := small.fits(2); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	small.giveBack(1)
	if len(small.held) != 0 || small.all != 0 {
		t.Error(small)
	}
}

func TestTurns(t *testing.T) {
	turns, now := NewTurns[string](10*time.Millisecond, 100), time.Unix(1000, 0)
	for i := range 50 {
		if ahead, err := turns.Take("greedy", now); err != nil || ahead != time.Duration(i+1)*10*time.Millisecond {
			t.Fatal(ahead, err)
		}
	}
	if _, err := turns.Take("greedy", now); !errors.Is(err, ErrShare) {
		t.Error(err)
	}
	for i := range 50 {
		if _, err := turns.Take(fmt.Sprint(i), now); err != nil {
			t.Error(i, err)
		}
	}
	if _, err := turns.Take("last", now); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if ahead, err := turns.Take("greedy", now.Add(time.Second)); err != nil || ahead != 10*time.Millisecond || len(turns.taken) != 1 {
		t.Error("the rate has not made up for them:", ahead, err)
	}
}

func TestRates(t *testing.T) {
	rates, now := NewRates[int](10, 5), time.Unix(1000, 0)
	for range 5 {
		if wait := rates.Take(1, now); wait != 0 {
			t.Fatal(wait)
		}
	}
	if wait := rates.Take(1, now); wait != 100*time.Millisecond {
		t.Error(wait)
	}
	if wait := rates.Take(2, now); wait != 0 {
		t.Error("another caller waits", wait)
	}
	if wait := rates.Take(1, now.Add(100*time.Millisecond)); wait != 0 {
		t.Error(wait)
	}
}

// However many callers there are, the table has a bound; those who do not fit in share one rate, and who comes later finds room again.
func TestRatesAreBounded(t *testing.T) {
	rates, now := NewRates[int](10, 5), time.Unix(1000, 0)
	refused := 0
	for i := range 10 * maxKeys {
		if rates.Take(i+1, now) > 0 {
			refused++
		}
	}
	if n := len(rates.over); n > maxKeys+1 {
		t.Errorf("%d callers are remembered", n)
	}
	if want := 9*maxKeys - 5; refused != want {
		t.Errorf("%d are refused, want %d", refused, want)
	}
	now = now.Add(2 * time.Second)
	for i := range 100 {
		if wait := rates.Take(-1-i, now); wait != 0 {
			t.Fatal(wait)
		}
	}
	if n := len(rates.over); n > 101 {
		t.Errorf("%d are remembered though it makes no difference", n)
	}
}

func TestQuota(t *testing.T) {
	q := NewQuota[string](2)
	for i, want := range []bool{true, true, false} {
		if q.Take("a") != want {
			t.Errorf("number %d: %t", i+1, !want)
		}
	}
	if !q.Take("b") {
		t.Error("another one gets none")
	}
	q.GiveBack("a")
	if !q.Take("a") {
		t.Error("what was given back is lost")
	}
	q.GiveBack("a")
	q.GiveBack("a")
	q.GiveBack("b")
	if len(q.held) != 0 {
		t.Error(q.held)
	}
}

func TestMemory(t *testing.T) {
	m := NewMemory(100)
	m.Add(70)
	if m.Free() != 30 || m.Used() != 70 {
		t.Error(m.Free(), m.Used())
	}
	m.Add(40)
	if m.Free() != 0 {
		t.Error(m.Free())
	}
	var none *Memory
	none.Add(1)
	if none.Free() < 1<<40 || none.Used() != 0 {
		t.Error(none.Free())
	}
}
