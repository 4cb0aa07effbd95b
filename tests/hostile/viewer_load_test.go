// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

// Viewers who connect, ask and read as nobody should.
func TestHostileViewers(t *testing.T) {
	const callsPerSecond = 1 // so few that no machine is too slow to overdo it
	r := newRig(t, func(c *v1alpha1.CloudDataStream) {
		c.Stream.WriteTimeout.Duration = 10 * time.Second
		c.Limits.CallsPerSecond = callsPerSecond
	})
	r.assign(decoyNode, decoyRule)
	honestMayStillCome := func(t *testing.T) {
		t.Helper()
		if got := string(r.get(t, "/healthz")); got != "ok\n" {
			t.Errorf("/healthz is %q", got)
		}
		if err := r.glance(t); err != nil {
			t.Errorf("who comes now gets no picture: %v", err)
		}
	}

	// From the honest viewer's own address, which is the worst.
	for name, words := range map[string]string{
		"half open":        "",
		"half a request":   "GET " + honestPath + " HTTP/1.1\r\nHost: localhost\r\nX-",
		"half a body":      "POST " + decoyPath + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
		"a TLS handshake":  "\x16\x03\x01\x02\x00\x01\x00",
		"kept alive, idle": "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		r.raid(name, func(t *testing.T) {
			few := 125
			if words == "" {
				few = 500
			}
			n := files(t, count(few, 10_000))
			const thrownOut = `datastream_viewer_refusals_total{reason="connection"}`
			closed := r.metric(t, thrownOut)
			s := besiege(t, siegeOrders{Address: r.viewers, Count: n, Words: []byte(words), Drip: []byte("y")})
			defer s.lift()
			eventually(t, "a viewer who comes now to see the picture", func() bool { return r.glance(t) == nil })
			honestMayStillCome(t)
			t.Logf("%d connections are held, of which the cloud has closed %v to make room", n, r.metric(t, thrownOut)-closed)
		})
	}
	r.raid("never reading", func(t *testing.T) {
		c := gather(count(100, 500), func() (net.Conn, error) { return r.slowReader(t) })
		defer c.leave()
		r.honest.more(2 * frameRate)
		honestMayStillCome(t)
	})
	r.raid("a byte a second", func(t *testing.T) {
		c := gather(count(100, 500), func() (net.Conn, error) { return r.slowReader(t) })
		var readers sync.WaitGroup
		defer readers.Wait()
		defer c.leave()
		for _, conn := range c.conns {
			readers.Go(func() {
				pace := time.NewTicker(time.Second)
				defer pace.Stop()
				for one := make([]byte, 1); ; <-pace.C {
					if _, err := conn.Read(one); err != nil {
						return
					}
				}
			})
		}
		r.honest.more(count(3, 30) * frameRate)
		honestMayStillCome(t)
	})
	r.raid("coming and going", func(t *testing.T) {
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for range count(100, 1000) {
			<-pace.C
			c := gather(10, func() (net.Conn, error) { return r.slowReader(t) })
			c.leave()
		}
		eventually(t, "them to be gone", func() bool { return r.state(t, honestNode, "honest").Viewers == 1 })
	})
	r.raid("talking", func(t *testing.T) { // a viewer has nothing to say
		conn, err := r.slowReader(t)
		must(t, err)
		defer conn.Close()
		for range 1 << 10 {
			if _, err := conn.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
		t.Error("64 MiB were listened to")
	})
	r.raid("control calls", func(t *testing.T) {
		const counter = `datastream_viewer_refusals_total{reason="rate"}`
		refused, before, began := 0, r.metric(t, counter), time.Now()
		n := count(300, 10_000)
		for range n {
			resp, body := r.call(t, http.MethodPost, decoyPath, "", `{"action":"start"}`)
			switch {
			case resp.StatusCode == http.StatusOK:
			case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "" && strings.Contains(body, `"kind":"Status"`):
				refused++
			default:
				t.Fatalf("%s: %s", resp.Status, body)
			}
		}
		if most := mostAtRate(5*callsPerSecond, callsPerSecond, began); n-refused > most {
			t.Errorf("%d calls are taken, want at most %d", n-refused, most)
		}
		if counted := r.metric(t, counter) - before; counted != float64(refused) {
			t.Errorf("%v are counted of %d", counted, refused)
		}
	})
}

// slowReader asks for the honest node's stream, and has the least of buffers. It comes from the attackers' address.
func (r *rig) slowReader(t *testing.T) (net.Conn, error) {
	conn, err := connect(t.Context(), r.viewers)
	if err != nil {
		return nil, err
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(1)
	_, err = fmt.Fprintf(conn, "GET %s?format=mp4 HTTP/1.1\r\nHost: localhost\r\n\r\n", honestPath)
	return conn, err
}

// One user, and one node's streams, have so many viewers as they may, and others are not bothered.
func TestTooManyViewers(t *testing.T) {
	r := newRig(t, func(c *v1alpha1.CloudDataStream) {
		c.Limits.ViewersPerUser, c.Limits.ViewersPerNode = 20, 30
	})
	r.raid("of one user", func(t *testing.T) {
		watch := func() int {
			conn, err := r.slowReader(t)
			must(t, err)
			t.Cleanup(func() { conn.Close() })
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			must(t, err)
			return resp.StatusCode
		}
		for i := range 20 {
			if code := watch(); code != http.StatusOK {
				t.Fatalf("viewer %d: %d", i, code)
			}
		}
		for range 10 {
			if code := watch(); code != http.StatusTooManyRequests {
				t.Fatalf("one more: %d", code)
			}
		}
		// Another address may, as long as the node has room.
		codes := make(map[int]int)
		for range 15 {
			resp, err := http.Get(r.honestURL)
			must(t, err)
			t.Cleanup(func() { resp.Body.Close() })
			codes[resp.StatusCode]++
			if resp.StatusCode != http.StatusOK && resp.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
		if codes[http.StatusOK] != 9 || codes[http.StatusServiceUnavailable] != 6 {
			t.Errorf("the answers to others are %v, want 9 viewers and 6 times 503", codes)
		}
	})
	for series, want := range map[string]float64{"user": 10, "node": 6, "stream": 0} {
		if got := r.metric(t, `datastream_viewer_refusals_total{reason="`+series+`"}`); got != want {
			t.Errorf("%v refusals are counted for the %s, want %v", got, series, want)
		}
	}
}
