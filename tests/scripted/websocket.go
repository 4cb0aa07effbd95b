// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scripted makes WebSockets whose peer says what was written down before, for tests and fuzzers of what reads them.
package scripted

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// WebSocket is the server's end behind the handshake. Its peer sends words, which are frames or not, then nothing more, and takes
// everything.
func WebSocket(tb testing.TB, words []byte) *websocket.Conn {
	tb.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for k, v := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		r.Header.Set(k, v)
	}
	var upgrader websocket.Upgrader
	ws, err := upgrader.Upgrade(takenOver{httptest.NewRecorder(), conn{bytes.NewReader(words)}}, r, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return ws
}

// Frame makes a client's frame with a mask of zeros (RFC 6455, 5.2). It may announce another length than data has.
func Frame(first byte, announced uint64, data []byte) []byte {
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

// conn is a socket to the peer.
type conn struct{ words *bytes.Reader }

func (c conn) Read(p []byte) (int, error)       { return c.words.Read(p) }
func (c conn) Write(p []byte) (int, error)      { return len(p), nil }
func (c conn) Close() error                     { return nil }
func (c conn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c conn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c conn) SetDeadline(time.Time) error      { return nil }
func (c conn) SetReadDeadline(time.Time) error  { return nil }
func (c conn) SetWriteDeadline(time.Time) error { return nil }

// takenOver hands conn to the upgrader.
type takenOver struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h takenOver) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(io.Discard)), nil
}
