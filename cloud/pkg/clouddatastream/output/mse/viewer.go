// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package mse

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fanout"
)

const (
	// readLimit bounds what a client may say at once, in bytes.
	readLimit = 4 << 10
	// syncInterval is the time between two sync messages.
	syncInterval = time.Second
	// statusInterval is the least time between two status messages: viewers who come in crowds would
	// otherwise all be told of each one.
	statusInterval = 200 * time.Millisecond
	// pingInterval is the silence after which the server pings, and pongTimeout the time for the answer.
	pingInterval = 10 * time.Second
	pongTimeout  = 30 * time.Second
	// closeTimeout is the time for the answer to the server's close message.
	closeTimeout = 2 * time.Second
)

// viewer is one WebSocket. Its messages are written by the goroutine of run, whole frames to the connection
// below the WebSocket. Only the answer to a client's close message is written by the reader.
type viewer struct {
	out     *Output
	conn    *websocket.Conn
	pings   chan string // of the client, to be answered
	written prometheus.Counter
	last    time.Time // of the last write
	synced  *moment   // what the last sync message said
}

func newViewer(out *Output, conn *websocket.Conn) *viewer {
	return &viewer{
		out:     out,
		conn:    conn,
		pings:   make(chan string, 1),
		written: out.cfg.Metrics.Bytes.WithLabelValues(Name),
	}
}

// run serves the viewer until it leaves, is stuck, or the stream is over.
func (v *viewer) run() {
	gone := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(gone)
		v.read()
	})
	err := v.stream(gone)
	switch {
	case errors.Is(err, fanout.ErrClosed):
		v.end()
		<-gone // or the read deadline
	case errors.Is(err, os.ErrDeadlineExceeded):
		v.out.cfg.Metrics.Stuck.WithLabelValues(Name).Inc()
	}
	v.conn.Close()
	reader.Wait()
}

// read takes control messages and ignores all others, until the connection ends.
func (v *viewer) read() {
	v.conn.SetReadLimit(readLimit)
	v.conn.SetPongHandler(func(string) error { return v.conn.SetReadDeadline(time.Time{}) })
	v.conn.SetPingHandler(func(data string) error {
		select {
		case v.pings <- data:
		default: // the answer to the one before will do
		}
		return nil
	})
	for {
		if _, _, err := v.conn.ReadMessage(); err != nil {
			v.conn.Close() // what is being written now need not wait for a peer that is gone
			return
		}
	}
}

// stream writes what the log holds, and between that what else there is to say.
func (v *viewer) stream(gone <-chan struct{}) error {
	next, err := v.status()
	if err != nil {
		return err
	}
	var changed <-chan struct{} // nil while it is too early for another status
	quiet := time.NewTimer(statusInterval)
	defer quiet.Stop()
	beat := time.NewTicker(syncInterval)
	defer beat.Stop()
	ready := make(chan struct{})
	close(ready)

	cursor := v.out.log.Cursor()
	var batch [][]byte
	for {
		var wake <-chan struct{}
		batch, wake, err = cursor.Poll(batch[:0])
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			if err := v.write(batch...); err != nil {
				return err
			}
			wake = ready
		}
		select {
		case <-wake:
		case <-gone:
			return nil
		case <-changed:
			if next, err = v.status(); err != nil {
				return err
			}
			changed = nil
			quiet.Reset(statusInterval)
		case <-quiet.C:
			changed = next
		case <-beat.C:
			if err := v.beat(); err != nil {
				return err
			}
		case data := <-v.pings:
			if err := v.write(newFrame(websocket.PongMessage, []byte(data))); err != nil {
				return err
			}
		}
	}
}

// write writes whole frames and lets go of them.
func (v *viewer) write(frames ...[]byte) error {
	v.last = time.Now()
	conn := v.conn.NetConn()
	_ = conn.SetWriteDeadline(v.last.Add(v.out.cfg.WriteTimeout))
	buffers := net.Buffers(frames)
	n, err := buffers.WriteTo(conn)
	v.written.Add(float64(n))
	return err
}

func (v *viewer) writeText(message any) error {
	frame, err := newText(message)
	if err != nil {
		return err
	}
	return v.write(frame)
}

// status sends the status of now, and returns a channel that is closed when there is another one.
func (v *viewer) status() (changed <-chan struct{}, err error) {
	status, changed := v.out.stream.Status()
	return changed, v.writeText(statusMessage{"status", status})
}

// beat sends a sync message if units have arrived, else a ping if nothing was written for long.
func (v *viewer) beat() error {
	now := time.Now()
	if m := v.out.newest.Load(); m != v.synced {
		v.synced = m
		return v.writeText(syncMessage{"sync", m.pts.Seconds(), m.capture.UnixMilli(), now.UnixMilli()})
	}
	if now.Sub(v.last) < pingInterval {
		return nil
	}
	_ = v.conn.SetReadDeadline(now.Add(pongTimeout)) // the pong lifts it
	return v.write(newFrame(websocket.PingMessage, nil))
}

// end says that the stream is over and why.
func (v *viewer) end() {
	status, _ := v.out.stream.Status()
	reason := status.Reason
	if reason == "" {
		reason = "closed"
	}
	_ = v.conn.SetReadDeadline(time.Now().Add(closeTimeout))
	if v.writeText(endMessage{"end", reason}) != nil {
		return
	}
	// The viewer closes in answer, or the read deadline passes.
	_ = v.write(newFrame(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, "")))
}
