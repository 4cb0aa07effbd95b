// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// scriptedConn is a socket whose peer says script and takes everything.
type scriptedConn struct{ script *bytes.Reader }

func (c scriptedConn) Read(p []byte) (int, error)         { return c.script.Read(p) }
func (c scriptedConn) Write(p []byte) (int, error)        { return len(p), nil }
func (c scriptedConn) Close() error                       { return nil }
func (c scriptedConn) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (c scriptedConn) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (c scriptedConn) SetDeadline(time.Time) error        { return nil }
func (c scriptedConn) SetReadDeadline(_ time.Time) error  { return nil }
func (c scriptedConn) SetWriteDeadline(_ time.Time) error { return nil }

// hijackable hands a scriptedConn to the upgrader.
type hijackable struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(io.Discard)), nil
}

// accept returns the cloud's end of a tunnel behind the handshake, whose peer sends stream.
func accept(tb testing.TB, stream []byte) *Conn {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for k, v := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		r.Header.Set(k, v)
	}
	var upgrader websocket.Upgrader
	ws, err := upgrader.Upgrade(hijackable{httptest.NewRecorder(), scriptedConn{bytes.NewReader(stream)}}, r, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return NewConn(ws, patient, DefaultMaxPayload)
}

// frame makes a client's WebSocket frame with a mask of zeros (RFC 6455, 5.2).
func frame(first byte, announced uint64, data []byte) []byte {
	out := []byte{first}
	switch {
	case announced < 126:
		out = append(out, 0x80|byte(announced))
	case announced < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(announced))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), announced)
	}
	return append(append(out, 0, 0, 0, 0), data...)
}

// readAll reads until an error comes and returns what that allocated in bytes.
func readAll(conn *Conn) (allocated uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for {
		m, u, err := conn.Read()
		if err != nil {
			break
		}
		if (m == nil) == (u == nil) {
			panic("Read must return one of a message and an access unit")
		}
	}
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A peer that announces much and sends little must not make us allocate.
func TestConnAnnouncedSizeCostsNothing(t *testing.T) {
	unit := append(AppendHeader(nil, exampleUnit()), 1, 2, 3)
	for name, stream := range map[string][]byte{
		"one frame":              frame(0x82, DefaultMaxPayload, unit),
		"over the limit":         frame(0x82, 1<<40, unit),
		"largest length":         frame(0x82, 1<<63-1, unit),
		"negative length":        frame(0x82, 1<<64-1, unit),
		"text":                   frame(0x81, DefaultMaxPayload, []byte(`{"type":"ack"`)),
		"second fragment":        append(frame(0x02, uint64(len(unit)), unit), frame(0x80, 1<<22, []byte{1})...),
		"fragments that add up":  append(frame(0x02, uint64(len(unit)), unit), frame(0x80, 1<<63-1, []byte{1})...),
		"ping of a large length": frame(0x89, 1<<20, []byte{1}),
	} {
		t.Run(name, func(t *testing.T) {
			if allocated := readAll(accept(t, stream)); allocated > 128<<10 {
				t.Errorf("%d bytes made us allocate %d", len(stream), allocated)
			}
		})
	}
}

// FuzzConnRead feeds the bytes of a hostile peer: nothing panics, and what is allocated is in proportion to what came.
func FuzzConnRead(f *testing.F) {
	text := func(s string) []byte { return frame(0x81, uint64(len(s)), []byte(s)) }
	unit := append(AppendHeader(nil, exampleUnit()), exampleUnit().Payload...)
	valid := frame(0x82, uint64(len(unit)), unit)
	f.Add(append(text(exampleMessages[0].wire), valid...))
	f.Add(append(text(exampleMessages[1].wire), text(exampleMessages[4].wire)...))
	f.Add(append(frame(0x02, uint64(len(unit)), unit), frame(0x80, 4, []byte{1, 2, 3, 4})...))
	f.Add(append(frame(0x89, 4, []byte("ping")), frame(0x88, 2, []byte{0x03, 0xe8})...))
	f.Add(frame(0x82, 1<<63-1, unit))
	f.Add(frame(0x82, DefaultMaxPayload, unit))
	f.Add(text(`{"type":"tracks","tracks":[{},{},{}]}`))
	f.Add(frame(0xc2, 4, []byte{1, 2, 3, 4}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		conn := accept(t, stream)
		// JSON grows most: an empty track takes three bytes on the wire, and a thousand while a slice of them grows.
		if allocated := readAll(conn); allocated > 1<<20+1024*uint64(len(stream)) {
			t.Errorf("%d bytes made us allocate %d", len(stream), allocated)
		}
	})
}
