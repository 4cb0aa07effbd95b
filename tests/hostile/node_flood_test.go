// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// A tunnel that sends as much as it can.
func TestFloods(t *testing.T) {
	r := newRig(t, nil)
	e := newEvil(r)
	e.wanted(t, "mp4")
	before := heap()

	r.attack("pings", func(t *testing.T) {
		et := e.open(t)
		for range count(20_000, 1_000_000) {
			if et.frame(frameFin|opPing, []byte("ping")) != nil {
				return
			}
		}
	})
	r.attack("closes", func(t *testing.T) {
		for range count(20, 500) {
			et := e.open(t)
			for range 100 {
				if et.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye"), time.Now().Add(patience)) != nil {
					break
				}
			}
		}
	})
	r.attack("tiny units", func(t *testing.T) {
		et := e.open(t)
		must(t, et.conn.WriteMessage(video()))
		key := picture(1)
		must(t, et.conn.WriteUnit(key))
		for i := range uint64(count(20_000, 3_000_000)) {
			u := picture(i + 2)
			u.RandomAccess, u.PTS = false, int64(i)
			if et.conn.WriteUnit(u) != nil {
				return
			}
		}
	})
	r.attack("a unit each millisecond, at any time", func(t *testing.T) {
		et := e.open(t)
		must(t, et.conn.WriteMessage(video()))
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for i := range uint64(count(1000, 60_000)) {
			<-pace.C
			u := picture(i + 1)
			u.PTS, u.Capture = int64(i*7919%104729)*frameTicks, time.UnixMicro(int64(i*104729%7919)<<40)
			if et.conn.WriteUnit(u) != nil {
				return
			}
		}
	})
	r.attack("large units", func(t *testing.T) {
		et := e.open(t)
		must(t, et.conn.WriteMessage(video()))
		for i := range uint64(count(4, 1000)) {
			u := picture(1 + 10*i)
			u.Payload = nal(8<<20 - 4)
			if et.conn.WriteUnit(u) != nil {
				return
			}
		}
	})
	r.attack("empty fragments without end", func(t *testing.T) {
		et := e.open(t)
		must(t, et.frame(opBinary, nil))
		for range count(20_000, 1_000_000) {
			if et.frame(opContinuation, nil) != nil {
				return
			}
		}
	})
	r.attack("fragments without end", func(t *testing.T) {
		et := e.open(t)
		must(t, et.frame(opBinary, tunnel.AppendHeader(nil, picture(1))))
		part := make([]byte, 16<<10)
		for range 1000 { // twice as much as a unit may have
			if et.frame(opContinuation, part) != nil {
				break
			}
		}
		if code := et.closed(); code != tunnel.CloseTooBig && code != websocket.CloseAbnormalClosure {
			t.Errorf("closed with %d", code)
		}
	})
	r.attack("never reading", func(t *testing.T) {
		et := e.open(t)
		raw := et.ws.NetConn()
		if c, ok := raw.(interface{ NetConn() net.Conn }); ok {
			_ = c.NetConn().(*net.TCPConn).SetReadBuffer(1)
		}
		must(t, et.conn.WriteMessage(video()))
		for i := range uint64(count(2000, 100_000)) {
			if et.conn.WriteUnit(picture(i+1)) != nil || et.frame(frameFin|opPing, make([]byte, 125)) != nil {
				return
			}
		}
	})
	eventually(t, "the end of evil's tunnels", func() bool { return r.metric(t, "datastream_cloud_tunnels") == 1 })
	eventually(t, "the attack's memory to be given back", func() bool { return heap() <= before+128<<20 })
}

// heap is what is in use, in bytes.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// Many dials of the same target at once leave at most one tunnel, and nothing of the others.
func TestManyDials(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	e := newEvil(r)
	r.attack("dials", func(*testing.T) {
		var dials sync.WaitGroup
		room := make(chan struct{}, 50)
		for range count(200, 1000) {
			room <- struct{}{}
			dials.Go(func() {
				defer func() { <-room }()
				ws, resp, err := e.dialAs(e.key, e.cert)
				if err != nil {
					if resp != nil {
						resp.Body.Close()
					}
					return // sent away
				}
				defer ws.Close()
				_ = tunnel.NewConn(ws, tunnel.DefaultTiming, tunnel.DefaultMaxPayload).WriteMessage(e.hello())
			})
		}
		dials.Wait()
	})
	eventually(t, "the end of evil's tunnels", func() bool { return r.metric(t, "datastream_cloud_tunnels") == 1 })
}
