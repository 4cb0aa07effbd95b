// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package mse

import (
	"encoding/json"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
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
	// quietInterval is the silence after which the server shows that it is there and asks whether the viewer is, and pongTimeout the time
	// for the answer.
	quietInterval = 5 * time.Second
	pongTimeout   = 30 * time.Second
	// maxWrites is how many batches are written before a viewer who is behind hears of anything else.
	maxWrites = 16
	// closeTimeout is the time for the answer to the server's close message.
	closeTimeout = 2 * time.Second
)

// viewer is one WebSocket. Its messages are written by the goroutine of run; only the answers to a client's ping and
// close messages are written by the reader, as gorilla/websocket allows.
type viewer struct {
	out    *Output
	conn   *websocket.Conn
	meter  output.Meter
	first  func()    // to be called with the first picture; nil when there is nobody to tell
	last   time.Time // of the last write
	synced *moment   // what the last sync message said
}

func newViewer(out *Output, conn *websocket.Conn, first func()) *viewer {
	return &viewer{
		out:   out,
		conn:  conn,
		first: first,
		meter: out.cfg.Metrics.Meter(Name),
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
	var timeout net.Error // gorilla/websocket hides os.ErrDeadlineExceeded
	switch {
	case errors.Is(err, fanout.ErrClosed):
		v.end()
		<-gone // or the read deadline
	case errors.As(err, &timeout) && timeout.Timeout():
		v.out.cfg.Metrics.Stuck.WithLabelValues(Name).Inc()
	}
	v.conn.Close()
	reader.Wait()
}

// read takes control messages and ignores all others, until the connection ends.
func (v *viewer) read() {
	v.conn.SetReadLimit(readLimit)
	v.conn.SetPongHandler(func(string) error { return v.conn.SetReadDeadline(time.Time{}) })
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
	var batch []item
	for written := 0; ; {
		var wake <-chan struct{}
		batch, wake, err = cursor.Poll(batch[:0])
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			if err := v.write(batch); err != nil {
				return err
			}
			v.meter.Delivered(cursor.Last())
			if written++; written < maxWrites {
				continue // mostly to find that there is nothing more, which is cheaper than to select twice
			}
			wake = ready
		}
		written = 0
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
		}
	}
}

// write writes items and lets go of them.
func (v *viewer) write(items []item) error {
	for _, i := range items {
		for _, m := range i.messages {
			_ = v.conn.SetWriteDeadline(v.deadline())
			if err := v.conn.WritePreparedMessage(m); err != nil {
				return err
			}
		}
		v.meter.Wrote(i.size)
	}
	clear(items)
	if v.first != nil {
		v.first()
		v.first = nil
	}
	return nil
}

// writeText writes a message for this viewer only.
func (v *viewer) writeText(message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_ = v.conn.SetWriteDeadline(v.deadline())
	v.meter.Wrote(len(data))
	return v.conn.WriteMessage(websocket.TextMessage, data)
}

// deadline is that of a write which begins now.
func (v *viewer) deadline() time.Time {
	v.last = time.Now()
	return v.last.Add(v.out.cfg.WriteTimeout)
}

// status sends the status of now, and returns a channel that is closed when there is another one.
func (v *viewer) status() (changed <-chan struct{}, err error) {
	status, changed := v.out.stream.Status()
	return changed, v.writeText(statusMessage{"status", status})
}

// beat sends a sync message if units have arrived. If nothing was written for long it sends the status once more, for pages do not see
// pings, and a ping.
func (v *viewer) beat() error {
	now := time.Now()
	if m := v.out.newest.Load(); m != v.synced {
		v.synced = m
		return v.writeText(syncMessage{
			Type: "sync", PTS: m.pts.Seconds(), Captured: m.capture.UnixMilli(), Now: now.UnixMilli(),
			Delay: m.delay().Milliseconds(), Arrived: m.arrival.Sub(v.out.begun).Milliseconds(), Clock: now.Sub(v.out.begun).Milliseconds(),
		})
	}
	if now.Sub(v.last) < quietInterval {
		return nil
	}
	if _, err := v.status(); err != nil {
		return err
	}
	_ = v.conn.SetReadDeadline(now.Add(pongTimeout)) // the pong lifts it
	return v.conn.WriteControl(websocket.PingMessage, nil, v.deadline())
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
	_ = v.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""), v.deadline())
}
