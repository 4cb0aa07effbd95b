// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/cloud/pkg/limit"
)

// sources returns n of them.
func sources(n int) []limit.Source {
	all := make([]limit.Source, n)
	for i := range all {
		all[i] = limit.SourceOf(fmt.Sprintf("10.%d.%d.%d:1", i>>16&0xff, i>>8&0xff, i&0xff))
	}
	return all
}

// stampede lets an edge of each source come at once and again until all are in. It returns when each handshake was begun that costs
// cryptography, when the last edge was in, and the most tries of one edge.
func stampede(a *admission, from []limit.Source) (handshakes []time.Duration, last time.Duration, tries int) {
	const reconnectMin, reconnectMax = time.Second, 30 * time.Second // the edge's defaults
	began := time.Now()
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	shake := func() {
		mu.Lock()
		defer mu.Unlock()
		handshakes = append(handshakes, time.Since(began))
	}
	for _, source := range from {
		wg.Go(func() {
			end := reconnectMin
			for try := 1; ; try++ {
				wait, retryAfter, err := a.decide(source, time.Now())
				if err == nil {
					time.Sleep(wait)
					shake()
				}
				if err == nil && retryAfter == 0 {
					mu.Lock()
					defer mu.Unlock()
					last, tries = max(last, time.Since(began)), max(tries, try)
					return
				}
				if retryAfter > 0 { // in whole seconds; the edge adds less than one
					retryAfter = (retryAfter + time.Second - 1).Truncate(time.Second) + rand.N(time.Second)
				}
				end = min(2*end, reconnectMax)
				time.Sleep(max(reconnectMin+rand.N(end-reconnectMin), retryAfter))
			}
		})
	}
	wg.Wait()
	return handshakes, last, tries
}

// peak is the largest number within any second. times are in order.
func peak(times []time.Duration) int {
	most, from := 0, 0
	for i, t := range times {
		for t-times[from] >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

func TestStampede(t *testing.T) {
	const perSecond, burst = 100, 200
	for _, c := range []struct {
		n        int
		oneplace bool // all behind one address
	}{{100, false}, {1000, false}, {5000, false}, {100, true}, {1000, true}, {5000, true}} {
		n, from := c.n, sources(c.n)
		if c.oneplace {
			from = make([]limit.Source, n)
		}
		synctest.Test(t, func(t *testing.T) {
			m := newHandshakeMetrics(prometheus.NewRegistry(), "cloud", "edges")
			handshakes, last, tries := stampede(newAdmission(perSecond, burst, m), from)
			p := peak(handshakes)
			t.Logf("%d edges (of one address: %t): %d handshakes in all, %d in the worst second, all back after %v, at most %d tries", n, c.oneplace, len(handshakes), p, last, tries)
			// Turns at once and in a second, and refusals likewise.
			if most := burst + perSecond + perSecond; p > most {
				t.Errorf("%d handshakes in a second, want at most %d", p, most)
			}
			least := time.Duration(max(n-burst, 0)) * (time.Second / perSecond)
			if limit := 2*least + 20*time.Second; last < least-time.Second || last > limit {
				t.Errorf("all of %d are back after %v, want %v to %v", n, last, least, limit)
			}
			if len(handshakes) > 2*n {
				t.Errorf("%d handshakes for %d edges", len(handshakes), n)
			}
		})
	}
}

// Few edges never wait, whatever was before.
func TestAdmissionForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(100, 200, newHandshakeMetrics(prometheus.NewRegistry(), "cloud", "edges"))
		for range 3 {
			_, _, _ = stampede(a, sources(1000))
			time.Sleep(5 * time.Second)
			for range 100 {
				if wait, retryAfter, err := a.decide(limit.Source{}, time.Now()); wait != 0 || retryAfter != 0 || err != nil {
					t.Fatal(wait, retryAfter, err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
}

// Who is sent away is told a time of its own, behind those who wait, and not for ever.
func TestPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(100, 1, newHandshakeMetrics(prometheus.NewRegistry(), "cloud", "edges"))
		var before time.Time
		promises := 0
		from := sources(1000)
		for i := range 200 * 100 { // 200 s of an onslaught of 1000 a second
			for j := range 10 {
				now := time.Now()
				_, retryAfter, err := a.decide(from[(10*i+j)%len(from)], now)
				if err != nil || retryAfter == 0 {
					continue
				}
				promises++
				if retryAfter <= maxWait || retryAfter > maxPromise {
					t.Fatalf("sent away for %v", retryAfter)
				}
				if now.Add(retryAfter).Equal(before) {
					t.Fatal("two were promised the same turn")
				}
				before = now.Add(retryAfter)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if promises < 200*40 || promises > 200*51+50 {
			t.Errorf("%d promises in 200 s, want 50 a second", promises)
		}
	})
}

// One host floods the port without end. The edges of others have their turns all the same, and soon.
func TestFloodOfHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(100, 200, newHandshakeMetrics(prometheus.NewRegistry(), "cloud", "edges"))
		ctx, cancel := context.WithCancel(t.Context())
		var flood sync.WaitGroup
		defer flood.Wait()
		defer cancel()
		flooder := limit.SourceOf("192.0.2.1:1")
		flood.Go(func() {
			for ctx.Err() == nil { // 10 000 a second
				_, _, _ = a.decide(flooder, time.Now())
				time.Sleep(100 * time.Microsecond)
			}
		})
		time.Sleep(10 * time.Second)
		for _, source := range sources(200) {
			wait, retryAfter, err := a.decide(source, time.Now())
			if err != nil || retryAfter != 0 || wait > maxWait {
				t.Fatalf("an edge waits for %v, is sent away for %v, %v", wait, retryAfter, err)
			}
			time.Sleep(20 * time.Millisecond) // so that half of the rate is theirs
		}
	})
}

// A wall of a thousand viewers behind one proxy is loaded again, and at once: all have their turn without a second try, and so has who comes
// meanwhile from elsewhere.
func TestWallIsLoadedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newViewerAdmission(2, newHandshakeMetrics(prometheus.NewRegistry(), "viewer", "viewers"))
		come := func(remote string) time.Duration {
			t.Helper()
			wait, retryAfter, err := a.decide(limit.SourceOf(remote), time.Now())
			if err != nil || retryAfter != 0 || wait > maxWait {
				t.Fatalf("a viewer waits for %v, is sent away for %v, %v", wait, retryAfter, err)
			}
			return wait
		}
		for i := range 1000 {
			if wait := come("192.0.2.1:1"); i < 500 && wait != 0 {
				t.Fatalf("viewer %d waits for %v", i, wait)
			}
		}
		for i := range 100 {
			come(fmt.Sprintf("198.51.100.%d:1", i))
		}
	})
}
