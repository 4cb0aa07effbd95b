// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package output

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fanout"
)

// Chunk is a piece of a byte stream in the form in which HTTP/1.1 carries it: as one chunk of the chunked transfer
// coding (RFC 9112, 7.1). So it is framed once, and is one write for each viewer.
type Chunk struct {
	framed []byte
	start  int // of the data in framed
}

// chunkPrefix is the room for the length in hexadecimal and its CRLF.
const chunkPrefix = 10

// NewChunk frames data, which it copies. Empty data would end the body (RFC 9112, 7.1) and must not be passed.
func NewChunk(data []byte) Chunk {
	framed := make([]byte, 0, chunkPrefix+len(data)+2)
	framed = strconv.AppendInt(framed, int64(len(data)), 16)
	framed = append(framed, '\r', '\n')
	start := len(framed)
	framed = append(framed, data...)
	return Chunk{append(framed, '\r', '\n'), start}
}

// Size is what the chunk takes in memory.
func (c Chunk) Size() int { return len(c.framed) }

func (c Chunk) data() []byte { return c.framed[c.start : len(c.framed)-2] }

var (
	lastChunk      = []byte("0\r\n\r\n")
	errNoHijacking = errors.New("this connection cannot be streamed to")
)

// NewLog makes a log with an output's bounds and metrics.
func NewLog[T any](name string, cfg Config) *fanout.Log[T] {
	skips, buffered := cfg.Metrics.Skips.WithLabelValues(name), cfg.Metrics.Buffered.WithLabelValues(name)
	return &fanout.Log[T]{
		MaxBytes: cfg.MaxBytes,
		MaxLag:   cfg.MaxLag,
		Room:     cfg.Memory.Free,
		OnSkip:   skips.Inc,
		OnSize: func(delta int) {
			buffered.Add(float64(delta))
			cfg.Memory.Add(delta)
		},
	}
}

// ByteStream serves a log of chunks as the endless body of a GET.
type ByteStream struct {
	// Name is the output's, for metrics.
	Name string
	// ContentType is the media type of the body.
	ContentType string
	Log         *fanout.Log[Chunk]
	Config      Config
}

// ServeHTTP writes chunks up to the end of the log or until the viewer leaves. It takes the connection over from
// net/http, whose response writer would cost three writes a chunk instead of one.
func (s *ByteStream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", s.ContentType)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, errNoHijacking.Error(), http.StatusHTTPVersionNotSupported)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	var watch sync.WaitGroup
	watch.Go(func() {
		defer cancel()
		waitForClose(buffered.Reader)
	})
	chunked := r.ProtoAtLeast(1, 1)
	if err := s.stream(ctx, conn, s.head(w.Header(), chunked), chunked); errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
		s.Config.Metrics.Stuck.WithLabelValues(s.Name).Inc()
	}
	conn.Close()
	watch.Wait()
	cancel()
}

// waitForClose returns when the viewer closes the connection. Viewers have nothing to say.
func waitForClose(r *bufio.Reader) {
	for {
		if _, err := r.Discard(1); err != nil {
			return
		}
	}
}

// head renders the status line and header fields, with those that the server has set already.
func (s *ByteStream) head(set http.Header, chunked bool) []byte {
	h := set.Clone()
	h.Set("Content-Type", s.ContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	version := "HTTP/1.0"
	if chunked {
		version = "HTTP/1.1"
		h.Set("Transfer-Encoding", "chunked")
	}
	var out headBuffer
	fmt.Fprintf(&out, "%s 200 OK\r\n", version)
	_ = h.Write(&out) // a headBuffer takes everything
	return append(out, '\r', '\n')
}

type headBuffer []byte

func (b *headBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func (s *ByteStream) stream(ctx context.Context, conn net.Conn, head []byte, chunked bool) error {
	defer context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })()
	meter := s.Config.Metrics.Meter(s.Name)
	write := func(b ...[]byte) error {
		for buffers := net.Buffers(b); len(buffers) > 0; {
			_ = conn.SetWriteDeadline(time.Now().Add(s.Config.WriteTimeout))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			n, err := buffers.WriteTo(conn)
			meter.Wrote(int(n))
			if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
				return err // one who takes some of it is slow, not stuck
			}
		}
		return nil
	}
	if err := write(head); err != nil {
		return err
	}
	cursor, first := s.Log.Cursor(), FirstPicture(ctx)
	var batch []Chunk
	var pieces [][]byte
	for {
		var wake <-chan struct{}
		var err error
		batch, wake, err = cursor.Poll(batch[:0])
		if err != nil {
			if chunked {
				return write(lastChunk)
			}
			return nil
		}
		if len(batch) == 0 {
			select {
			case <-wake:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		pieces = pieces[:0]
		for _, c := range batch {
			if chunked {
				pieces = append(pieces, c.framed)
			} else {
				pieces = append(pieces, c.data())
			}
		}
		clear(batch) // holds nothing while it waits
		if err := write(pieces...); err != nil {
			return err
		}
		meter.Delivered(cursor.Last())
		if first != nil {
			first()
			first = nil
		}
	}
}
