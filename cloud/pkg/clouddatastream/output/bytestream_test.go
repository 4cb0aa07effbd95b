// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// streamTest is a ByteStream on a real server.
type streamTest struct {
	*testing.T
	stream  *ByteStream
	server  *httptest.Server
	metrics *prometheus.Registry
	done    chan struct{} // gets one value for each request that has been served
	cancel  context.CancelFunc
}

func newStreamTest(t *testing.T, writeTimeout time.Duration) *streamTest {
	t.Helper()
	s := &streamTest{T: t, metrics: prometheus.NewRegistry(), done: make(chan struct{}, 16)}
	cfg := Config{MaxBytes: 64 << 20, MaxLag: time.Hour, WriteTimeout: writeTimeout, Metrics: NewMetrics(s.metrics)}
	s.stream = &ByteStream{Name: "test", ContentType: "video/test", Log: NewLog[Chunk]("test", cfg), Config: cfg}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Before", "kept")
		s.stream.ServeHTTP(w, r)
		s.done <- struct{}{}
	}))
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.server.Start()
	t.Cleanup(func() {
		cancel()
		s.server.Close()
	})
	return s
}

func (s *streamTest) append(data []byte) {
	c := NewChunk(data)
	s.stream.Log.Append(c, c.Size(), true, time.Now())
}

// metric is the value of this output's metric of that name; 0 if there is none yet.
func (s *streamTest) metric(name string) float64 {
	s.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		s.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return 0
}

// served waits for the end of a request.
func (s *streamTest) served() {
	s.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.Fatal("the handler does not return")
	}
}

// dial sends a request by hand.
func (s *streamTest) dial(request string) net.Conn {
	s.Helper()
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		s.Fatal(err)
	}
	return conn
}

// body makes a stream of chunks of all sizes that matter to the framing, and what they add up to.
func body() (chunks [][]byte, whole []byte) {
	for i, size := range []int{1, 9, 15, 16, 17, 255, 256, 4095, 4096, 70000, 1 << 20, 2} {
		data := bytes.Repeat([]byte{byte('a' + i)}, size)
		chunks = append(chunks, data)
		whole = append(whole, data...)
	}
	return chunks, append(whole, "\r\n0\r\n\r\n"...)
}

func (s *streamTest) appendBody() (whole []byte) {
	chunks, whole := body()
	for _, data := range append(chunks, []byte("\r\n0\r\n\r\n")) { // the last one looks like an end
		c := NewChunk(data)
		s.stream.Log.Append(c, c.Size(), len(data) == 1, time.Now())
	}
	return whole
}

func TestByteStream(t *testing.T) {
	s := newStreamTest(t, time.Minute)
	whole := s.appendBody()
	resp, err := s.server.Client().Get(s.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Proto != "HTTP/1.1" || fmt.Sprint(resp.TransferEncoding) != "[chunked]" {
		t.Errorf("got %s %s, %v", resp.Proto, resp.Status, resp.TransferEncoding)
	}
	for name, want := range map[string]string{"Content-Type": "video/test", "Cache-Control": "no-store", "X-Before": "kept"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil {
		t.Error(err)
	}
	got := make([]byte, len(whole))
	if _, err := io.ReadFull(resp.Body, got); err != nil || !bytes.Equal(got, whole) {
		t.Fatalf("what is in the log came otherwise: %v", err)
	}
	for _, data := range []string{"live", "er"} { // nothing waits for more to come
		s.append([]byte(data))
		got := make([]byte, len(data))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != data {
			t.Fatalf("got %q, %v, want %q", got, err, data)
		}
	}
	s.stream.Log.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 0 {
		t.Errorf("the body ends with %q, %v", rest, err)
	}
	s.served()
	if written := s.metric("datastream_output_written_bytes_total"); written <= float64(len(whole)) {
		t.Errorf("%v bytes are counted", written)
	}
	if kept := s.metric("datastream_output_buffered_bytes"); kept != 0 {
		t.Errorf("%v bytes are kept by a closed log", kept)
	}
}

// Clients of HTTP/1.0 know no chunks (RFC 9112, 7.1): they read up to the end of the connection.
func TestByteStreamHTTP10(t *testing.T) {
	s := newStreamTest(t, time.Minute)
	whole := s.appendBody()
	s.stream.Log.Close()
	conn := s.dial("GET / HTTP/1.0\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Proto != "HTTP/1.0" || len(resp.TransferEncoding) != 0 {
		t.Errorf("got %s with %v", resp.Proto, resp.TransferEncoding)
	}
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(whole))
	}
	s.served()
}

func TestByteStreamHead(t *testing.T) {
	s := newStreamTest(t, time.Minute)
	s.append([]byte("x"))
	resp, err := s.server.Client().Head(s.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "video/test" {
		t.Errorf("got %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	s.served()
}

func TestByteStreamViewerLeaves(t *testing.T) {
	for name, appended := range map[string]string{"before anything came": "", "while the stream is idle": "x"} {
		t.Run(name, func(t *testing.T) {
			s := newStreamTest(t, time.Hour)
			if appended != "" {
				s.append([]byte(appended))
			}
			conn := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, len(appended))); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			s.served()
			s.stuck(0)
		})
	}
}

// What a viewer says is read and ignored: bytes of it must not stay for the end of the connection to hide behind.
func TestByteStreamViewerTalksAndLeaves(t *testing.T) {
	s := newStreamTest(t, time.Hour)
	conn := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 20000))
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	s.served()
}

func TestByteStreamContextEnds(t *testing.T) {
	s := newStreamTest(t, time.Hour)
	conn := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.cancel()
	s.served()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the body ended with %v; a cut must not look like an end", err)
	}
	s.stuck(0)
}

func (s *streamTest) stuck(want float64) {
	s.Helper()
	if got := s.metric("datastream_output_viewers_stuck_total"); got != want {
		s.Errorf("%v viewers are counted as stuck, want %v", got, want)
	}
}

// dialStuck connects a viewer who reads the head and no more, on a stream that has more than the sockets hold.
func (s *streamTest) dialStuck() {
	s.Helper()
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		s.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		s.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	for range 32 {
		s.append(chunk)
	}
}

func TestByteStreamStuckViewer(t *testing.T) {
	s := newStreamTest(t, 50*time.Millisecond)
	s.dialStuck()
	s.served()
	s.stuck(1)
}

func TestByteStreamContextEndsWhileStuck(t *testing.T) {
	s := newStreamTest(t, time.Hour)
	s.dialStuck()
	s.cancel()
	s.served()
}

// Viewers share chunks, and none waits for another.
func TestByteStreamManyViewers(t *testing.T) {
	s := newStreamTest(t, time.Minute)
	whole := s.appendBody()
	const viewers = 10
	results := make(chan error, viewers)
	for range viewers {
		go func() {
			resp, err := s.server.Client().Get(s.server.URL)
			if err != nil {
				results <- err
				return
			}
			defer resp.Body.Close()
			got := make([]byte, len(whole))
			if _, err = io.ReadFull(resp.Body, got); err == nil && !bytes.Equal(got, whole) {
				err = errors.New("the body differs")
			}
			results <- err
		}()
	}
	for range viewers {
		if err := <-results; err != nil {
			t.Error(err)
		}
		s.served()
	}
}

// A response writer that cannot be taken over, as that of HTTP/2, is answered and not left hanging.
func TestByteStreamWithoutHijacking(t *testing.T) {
	cfg := Config{Metrics: NewMetrics(prometheus.NewRegistry())}
	s := &ByteStream{Name: "test", Log: NewLog[Chunk]("test", cfg), Config: cfg}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusHTTPVersionNotSupported {
		t.Errorf("got %d", w.Code)
	}
}

func TestChunk(t *testing.T) {
	c := NewChunk([]byte("0123456789abcdefg"))
	if got, want := string(c.framed), "11\r\n0123456789abcdefg\r\n"; got != want || c.Size() != len(want) {
		t.Errorf("got %q of size %d, want %q", got, c.Size(), want)
	}
	if got := string(c.data()); got != "0123456789abcdefg" {
		t.Errorf("got %q", got)
	}
}
