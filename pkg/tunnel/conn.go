// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/pkg/media"
)

// WriteBufferSize is the size in bytes that both ends give gorilla for writing. A frame larger than it
// is sent in fragments, so it is a few TLS records long.
const WriteBufferSize = 64 << 10

// Close codes (RFC 6455, 7.4) that the protocol uses, with their meaning here.
const (
	CloseNormal      = websocket.CloseNormalClosure     // the target is gone
	CloseGoingAway   = websocket.CloseGoingAway         // the process ends
	CloseMalformed   = websocket.ClosePolicyViolation   // a message did not follow the protocol
	CloseTooBig      = websocket.CloseMessageTooBig     // a message was over its bound
	CloseFenced      = websocket.CloseServiceRestart    // a newer connection of this target took over
	CloseUnreachable = websocket.CloseAbnormalClosure   // never sent: nothing came in time
	CloseInternal    = websocket.CloseInternalServerErr // the other end's fault is not known
)

// errTooBig is a message over its bound that is still below the WebSocket's.
var errTooBig = fmt.Errorf("%w: too big", ErrMalformed)

// maxKeptBody is how large a buffer, in bytes, a connection keeps between two access units: room for most frames,
// but a tunnel does not hold the size of its largest one for ever.
const maxKeptBody = 512 << 10

// Timing of a connection.
type Timing struct {
	// PingInterval is how often an end pings.
	PingInterval time.Duration
	// ReadTimeout is how long nothing at all may come in before the connection counts as dead.
	ReadTimeout time.Duration
	// WriteTimeout bounds one write to the socket.
	WriteTimeout time.Duration
}

// DefaultTiming finds a dead peer within 15 seconds.
var DefaultTiming = Timing{PingInterval: 5 * time.Second, ReadTimeout: 12 * time.Second, WriteTimeout: 10 * time.Second}

// Conn is a WebSocket that speaks the protocol. One goroutine may call Read and one at a time may
// write; Ping and Close may be called from anywhere.
type Conn struct {
	ws         *websocket.Conn
	timing     Timing
	maxPayload int
	header     [HeaderSize]byte
	body       bytes.Buffer
	closeOnce  sync.Once
	closeErr   error
}

// NewConn takes over a WebSocket after its handshake. maxPayload bounds an access unit's payload in bytes.
func NewConn(ws *websocket.Conn, timing Timing, maxPayload int) *Conn {
	c := &Conn{ws: ws, timing: timing, maxPayload: maxPayload}
	ws.SetReadLimit(int64(max(HeaderSize+maxPayload, MaxMessage)))
	ws.SetPingHandler(func(data string) error {
		c.alive()
		err := ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(timing.WriteTimeout))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil
		}
		return err
	})
	ws.SetPongHandler(func(string) error {
		c.alive()
		return nil
	})
	c.alive()
	return c
}

// alive gives the peer another ReadTimeout: something came from it.
func (c *Conn) alive() { _ = c.ws.SetReadDeadline(time.Now().Add(c.timing.ReadTimeout)) }

// aliveReader counts every piece of a message as a sign of life, so that a large one may take long.
type aliveReader struct {
	c *Conn
	r io.Reader
}

func (a aliveReader) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if n > 0 {
		a.c.alive()
	}
	return n, err
}

// Read returns the next control message or access unit; exactly one of the two is set when err is nil.
// Errors about the bytes wrap ErrMalformed; any error ends the connection.
func (c *Conn) Read() (Message, *media.AccessUnit, error) {
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return nil, nil, err
	}
	r = aliveReader{c, r}
	if kind == websocket.TextMessage {
		b, err := io.ReadAll(io.LimitReader(r, MaxMessage+1))
		if err != nil {
			return nil, nil, fmt.Errorf("reading control message: %w", err)
		}
		if len(b) > MaxMessage {
			return nil, nil, fmt.Errorf("%w: control message of more than %d bytes", errTooBig, MaxMessage)
		}
		m, err := DecodeMessage(b)
		return m, nil, err
	}
	u, err := c.readUnit(r)
	return nil, u, err
}

func (c *Conn) readUnit(r io.Reader) (*media.AccessUnit, error) {
	n, err := io.ReadFull(r, c.header[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("reading access unit: %w", err)
	}
	u, err := ParseHeader(c.header[:n])
	if err != nil {
		return nil, err
	}
	c.body.Reset()
	if _, err := c.body.ReadFrom(io.LimitReader(r, int64(c.maxPayload)+1)); err != nil {
		return nil, fmt.Errorf("reading access unit: %w", err)
	}
	switch size := c.body.Len(); {
	case size == 0:
		return nil, fmt.Errorf("%w: access unit without a payload", ErrMalformed)
	case size > c.maxPayload:
		return nil, fmt.Errorf("%w: payload of more than %d bytes", errTooBig, c.maxPayload)
	}
	u.Payload = slices.Clone(c.body.Bytes())
	if c.body.Cap() > maxKeptBody {
		c.body = bytes.Buffer{}
	}
	return &u, nil
}

// WriteMessage sends a control message.
func (c *Conn) WriteMessage(m Message) error {
	b, err := EncodeMessage(m)
	if err != nil {
		return err
	}
	_ = c.ws.SetWriteDeadline(time.Now().Add(c.timing.WriteTimeout))
	if err := c.ws.WriteMessage(websocket.TextMessage, b); err != nil {
		return fmt.Errorf("writing %s: %w", m.messageType(), err)
	}
	return nil
}

// WriteUnit sends an access unit. After an error the connection is useless: part of a frame may be out.
func (c *Conn) WriteUnit(u *media.AccessUnit) error {
	_ = c.ws.SetWriteDeadline(time.Now().Add(c.timing.WriteTimeout))
	w, err := c.ws.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return fmt.Errorf("writing access unit: %w", err)
	}
	var header [HeaderSize]byte
	if _, err := w.Write(AppendHeader(header[:0], u)); err != nil {
		return fmt.Errorf("writing access unit: %w", err)
	}
	if _, err := w.Write(u.Payload); err != nil {
		return fmt.Errorf("writing access unit: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("writing access unit: %w", err)
	}
	return nil
}

// KeepAlive pings until ctx ends or a ping cannot be written, and returns why.
func (c *Conn) KeepAlive(ctx context.Context) error {
	t := time.NewTicker(c.timing.PingInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			if err := c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(c.timing.WriteTimeout)); err != nil {
				return fmt.Errorf("pinging: %w", err)
			}
		}
	}
}

// Close tells the peer why, if that can be done at once, and closes the socket. Only the first call counts.
func (c *Conn) Close(code int, reason string) error {
	c.closeOnce.Do(func() {
		if len(reason) > 120 { // RFC 6455, 5.5: a control frame's payload has at most 125 bytes
			reason = reason[:120]
		}
		reason = strings.ToValidUTF8(reason, "") // 5.5.1: a peer fails on anything else
		_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
		c.closeErr = c.ws.Close()
	})
	return c.closeErr
}

// CloseCode is the code to close with after Read returned err.
func CloseCode(err error) int {
	switch {
	case errors.Is(err, websocket.ErrReadLimit), errors.Is(err, errTooBig):
		return CloseTooBig
	case errors.Is(err, ErrMalformed):
		return CloseMalformed
	default:
		return CloseGoingAway
	}
}
