// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// What does not follow the protocol ends its tunnel, with a code that says what it was.
func TestBrokenFrames(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	e := newEvil(r)
	e.wanted(t, "mp4")
	const (
		malformed = tunnel.CloseMalformed
		tooBig    = tunnel.CloseTooBig
		protocol  = websocket.CloseProtocolError
		whatever  = 0
	)
	unit := func(change func(*media.AccessUnit)) func(*evilTunnel) error {
		return func(et *evilTunnel) error {
			u := picture(1)
			change(u)
			return et.conn.WriteUnit(u)
		}
	}
	payload := func(b ...byte) func(*evilTunnel) error {
		return unit(func(u *media.AccessUnit) { u.Payload = b })
	}
	// header is one that is good, with bytes of it overwritten.
	header := func(at int, b ...byte) func(*evilTunnel) error {
		return func(et *evilTunnel) error {
			h := tunnel.AppendHeader(nil, picture(1))
			copy(h[at:], b)
			return et.ws.WriteMessage(websocket.BinaryMessage, append(h, picture(1).Payload...))
		}
	}
	text := func(s string) func(*evilTunnel) error {
		return func(et *evilTunnel) error { return et.ws.WriteMessage(websocket.TextMessage, []byte(s)) }
	}
	raw := func(first byte, b []byte) func(*evilTunnel) error {
		return func(et *evilTunnel) error { return et.frame(first, b) }
	}
	for _, test := range []struct {
		name string
		code int
		send func(*evilTunnel) error
	}{
		{"oversized unit", tooBig, unit(func(u *media.AccessUnit) { u.Payload = nal(9 << 20) })},
		{"oversized message", tooBig, text(`{"type":"state","state":"idle","message":"` + strings.Repeat("x", tunnel.MaxMessage) + `"}`)},
		{"frame of an exabyte", tooBig, func(et *evilTunnel) error {
			_, err := et.ws.NetConn().Write(append(binary.BigEndian.AppendUint64([]byte{frameFin | opBinary, 0xff}, 1<<60), 0, 0, 0, 0))
			return err
		}},
		{"frame of a negative length", whatever, func(et *evilTunnel) error {
			_, err := et.ws.NetConn().Write(append(binary.BigEndian.AppendUint64([]byte{frameFin | opBinary, 0xff}, 1<<63), 0, 0, 0, 0))
			return err
		}},
		{"truncated header", malformed, raw(frameFin|opBinary, make([]byte, tunnel.HeaderSize-1))},
		{"empty frame", malformed, raw(frameFin|opBinary, nil)},
		{"no payload", malformed, func(et *evilTunnel) error {
			return et.ws.WriteMessage(websocket.BinaryMessage, tunnel.AppendHeader(nil, picture(1)))
		}},
		{"another version", malformed, header(0, 2)},
		{"unknown flags", malformed, header(2, 0xff, 0xff)},
		{"time out of range", malformed, header(16, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)},
		{"time out of range, negative", malformed, header(16, 0x80)},
		{"capture time out of range", malformed, header(24, 0x80)},
		{"decoding time out of range", malformed, header(4, 0x7f, 0xff, 0xff, 0xff)},
		{"track that was not announced", malformed, unit(func(u *media.AccessUnit) { u.Track = 2 })},
		{"NAL unit of length 0", malformed, payload(0, 0, 0, 0)},
		{"NAL unit longer than the frame", malformed, payload(0, 0, 1, 0, 0x65, 0x88)},
		{"NAL unit of 4 GiB", malformed, payload(0xff, 0xff, 0xff, 0xff, 0x65, 0x88)},
		{"rest behind the NAL units", malformed, payload(0, 0, 0, 2, 0x65, 0x88, 0, 0, 1)},
		{"text that is no JSON", malformed, text("hello")},
		{"JSON that is no object", malformed, text(`[1,2,3]`)},
		{"no UTF-8", malformed, raw(frameFin|opText, []byte("{\"type\":\"state\",\"state\":\"idle\",\"message\":\"\xff\xfe\"}"))},
		{"no type", malformed, text(`{}`)},
		{"type of another kind", malformed, text(`{"type":7}`)},
		{"unknown state", malformed, text(`{"type":"state","state":"on fire"}`)},
		{"JSON 20000 deep", malformed, text(`{"type":"tracks","tracks":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`)},
		{"JSON that ends early", malformed, text(`{"type":"tracks","tracks":[` + strings.Repeat(`{"a":`, 5000))},
		{"number of 60000 digits", malformed, text(`{"type":"state","state":"idle","generation":` + strings.Repeat("9", 60_000) + `}`)},
		{"1000 tracks", malformed, text(`{"type":"tracks","tracks":[` + strings.TrimSuffix(strings.Repeat(`{"id":1},`, 1000), ",") + `]}`)},
		{"no tracks", malformed, text(`{"type":"tracks","tracks":[]}`)},
		{"tracks that cannot be", malformed, text(`{"type":"tracks","tracks":[{"id":1,"kind":"video","codec":"h264","clockRate":90000,"sps":"/////w==","pps":"aA=="}]}`)},
		{"compressed, which was not agreed on", protocol, raw(frameFin|frameRSV1|opBinary, []byte{1, 2, 3})},
		{"unknown opcode", protocol, raw(frameFin|0x3, nil)},
		{"continuation of nothing", protocol, raw(frameFin|opContinuation, []byte{1})},
		{"ping of 126 bytes", protocol, raw(frameFin|opPing, make([]byte, 126))},
		{"ping in fragments", protocol, raw(opPing, []byte{1})},
		{"not masked", protocol, func(et *evilTunnel) error {
			_, err := et.ws.NetConn().Write([]byte{frameFin | opBinary, 1, 0})
			return err
		}},
		{"message within a message", protocol, func(et *evilTunnel) error {
			return errors.Join(et.frame(opBinary, []byte{1}), et.frame(frameFin|opBinary, []byte{2}))
		}},
		{"no WebSocket at all", whatever, func(et *evilTunnel) error {
			_, err := et.ws.NetConn().Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n\r\n"), 100))
			return err
		}},
	} {
		r.Run(test.name, func(t *testing.T) {
			et := e.open(t)
			must(t, et.conn.WriteMessage(video()))
			must(t, et.conn.WriteUnit(picture(1)))
			_ = test.send(et) // the cloud may close before all is written
			code := et.closed()
			if test.code != whatever && code != test.code && code != websocket.CloseAbnormalClosure {
				t.Errorf("closed with %d, want %d", code, test.code)
			}
		})
	}
	r.attack("units before tracks", func(t *testing.T) {
		// Of the tunnel, that is: another one may have announced them.
		r.assign(evilNode)
		r.assign(evilNode, evilRule)
		et := e.open(t)
		must(t, et.conn.WriteUnit(picture(1)))
		if code := et.closed(); code != malformed {
			t.Errorf("closed with %d", code)
		}
	})
}

// nal is a NAL unit of a key frame with so many bytes, as a payload.
func nal(size int) []byte {
	b := make([]byte, 4+size)
	binary.BigEndian.PutUint32(b, uint32(size))
	b[4], b[5] = 0x65, 0x88
	return b
}

// Frames that keep to the protocol and lie about everything else.
func TestLyingUnits(t *testing.T) {
	r := newRig(t, nil)
	e := newEvil(r)
	for _, format := range []string{"mp4", "ts"} {
		e.wanted(t, format)
	}
	units := count(500, 20_000)
	for name, lie := range map[string]func(i uint64, u *media.AccessUnit){
		"time stands still":         func(_ uint64, u *media.AccessUnit) { u.PTS = 7 },
		"time runs back":            func(i uint64, u *media.AccessUnit) { u.PTS = -int64(i) * frameTicks },
		"time jumps":                func(i uint64, u *media.AccessUnit) { u.PTS = int64(i%2)*(1<<56) - int64(i%3)*(1<<55) },
		"decoding time jumps":       func(i uint64, u *media.AccessUnit) { u.DTSOffset = int32(i%2)<<30 - int32(i%3)<<29 },
		"sequences jump":            func(i uint64, u *media.AccessUnit) { u.Sequence = 1<<64 - 1 - i%2 },
		"sequences go back":         func(i uint64, u *media.AccessUnit) { u.Sequence = 1<<40 - i },
		"always a new beginning":    func(_ uint64, u *media.AccessUnit) { u.Discontinuity = true },
		"all are key frames":        func(_ uint64, u *media.AccessUnit) { u.RandomAccess = true },
		"none is a key frame":       func(_ uint64, u *media.AccessUnit) { u.RandomAccess = false },
		"no NAL unit is known":      func(_ uint64, u *media.AccessUnit) { u.Payload = []byte{0, 0, 0, 1, 0xff} },
		"a thousand NAL units each": func(_ uint64, u *media.AccessUnit) { u.Payload = bytes.Repeat([]byte{0, 0, 0, 1, 0x65}, 1000) },
	} {
		r.attack(name, func(t *testing.T) {
			et := e.open(t)
			must(t, et.conn.WriteMessage(video()))
			for i := range uint64(units) {
				u := picture(i + 1)
				lie(i, u)
				if et.conn.WriteUnit(u) != nil {
					break // that, too, is an answer
				}
			}
		})
	}
	r.attack("tracks that change with each frame", func(t *testing.T) {
		et := e.open(t)
		et.untilMalformed(func(i uint64) error {
			v := video()
			v.Tracks[0].PPS = append(v.Tracks[0].PPS, byte(i), byte(i>>8))
			return errors.Join(et.conn.WriteMessage(v), et.conn.WriteUnit(picture(i*10+1)))
		})
	})
	r.attack("a state after the other", func(t *testing.T) {
		before, began := logged.Load(), time.Now()
		et := e.open(t)
		et.untilMalformed(func(i uint64) error {
			return et.conn.WriteMessage(&tunnel.State{State: tunnel.Failed, Reason: fmt.Sprint("Reason", i), Message: strings.Repeat("m", 4<<10)})
		})
		// What may come at once, and what the rate has made up for meanwhile: 20 messages a second.
		if n, most := logged.Load()-before, 256<<10+int64(time.Since(began).Seconds()*20*(2<<10)); n > most {
			t.Errorf("%d bytes were logged, want at most %d", n, most)
		}
	})
}

// untilMalformed says one thing after the other until the cloud does not listen any more, however long it takes to reach its limits. It
// fails the test unless the cloud calls that malformed. A machine may be too slow to reach them.
func (t *evilTunnel) untilMalformed(say func(i uint64) error) {
	t.Helper()
	began := time.Now()
	for i := uint64(0); say(i) == nil; i++ {
		if time.Since(began) < patience {
			continue
		}
		const underWay = 20_000 // more than fits between the two
		if i > underWay+uint64(mostAtRate(100, 20, began)) {
			t.Fatal("the cloud listens without end")
		}
		return
	}
	if code := t.closed(); code != tunnel.CloseMalformed && code != websocket.CloseAbnormalClosure {
		t.Errorf("closed with %d", code)
	}
}
