// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package mse

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
)

// talker is a socket whose peer says its words and takes everything.
type talker struct{ words *bytes.Reader }

func (c talker) Read(p []byte) (int, error)       { return c.words.Read(p) }
func (c talker) Write(p []byte) (int, error)      { return len(p), nil }
func (c talker) Close() error                     { return nil }
func (c talker) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c talker) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c talker) SetDeadline(time.Time) error      { return nil }
func (c talker) SetReadDeadline(time.Time) error  { return nil }
func (c talker) SetWriteDeadline(time.Time) error { return nil }

// takenOver hands it to the upgrader.
type takenOver struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h takenOver) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(io.Discard)), nil
}

// FuzzViewer is a viewer that talks, in whatever frames. The server does not listen, and keeps nothing.
func FuzzViewer(f *testing.F) {
	frame := func(first byte, length []byte, data string) []byte {
		out := append([]byte{first}, length...)
		return append(append(out, 0, 0, 0, 0), data...) // a mask of zeros
	}
	f.Add(frame(0x81, []byte{0x80 | 14}, `{"type":"mse"}`))
	f.Add(frame(0x82, []byte{0x80 | 127, 0, 0, 0, 1, 0, 0, 0, 0}, "x"))
	f.Add(append(frame(0x89, []byte{0x80 | 4}, "ping"), frame(0x88, []byte{0x80 | 2}, "\x03\xe8")...))
	f.Add(append(frame(0x01, []byte{0x80 | 1}, "x"), frame(0x80, []byte{0x80 | 126, 0x10, 0}, "y")...))
	f.Add(frame(0x8a, []byte{0x80}, ""))
	cfg := output.Config{MaxBytes: 1 << 20, MaxLag: time.Second, WriteTimeout: time.Second, Metrics: output.NewMetrics(prometheus.NewRegistry())}
	f.Fuzz(func(t *testing.T, words []byte) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for k, v := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
		} {
			r.Header.Set(k, v)
		}
		var upgrader websocket.Upgrader
		ws, err := upgrader.Upgrade(takenOver{httptest.NewRecorder(), talker{bytes.NewReader(words)}}, r, nil)
		if err != nil {
			t.Fatal(err)
		}
		v := newViewer(New(nil, cfg).(*Output), ws, nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v.read() // returns at the end of the words at the latest
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20+64*uint64(len(words)) {
			t.Errorf("%d bytes made us allocate %d", len(words), allocated)
		}
	})
}
