// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/pkg/media"
)

// WriteBufferSize is the size in bytes that edges give gorilla for writing. A larger access unit is sent in fragments of
// that size, between which pings, pongs and the end get through. A fragment and its header fill one TLS record.
const WriteBufferSize = 16<<10 - 16

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

// arrivalStep is after how many bytes of a unit its receiver is told.
const arrivalStep = 16 << 10

// Timing of a connection.
type Timing struct {
	// PingInterval is how often an end pings.
	PingInterval time.Duration
	// ReadTimeout is how long nothing at all may come in before the connection counts as dead.
	ReadTimeout time.Duration
	// WriteTimeout is how long the socket may take nothing at all.
	WriteTimeout time.Duration
	// AnswerTimeout is how long pings may stay unanswered. An end that sends but never reads is found by it where there is
	// too little to write to fill the way. It is long, since the answers wait their turn on a link that is full.
	AnswerTimeout time.Duration
}

// DefaultTiming finds a dead peer within 15 seconds.
var DefaultTiming = Timing{
	PingInterval: 5 * time.Second, ReadTimeout: 12 * time.Second, WriteTimeout: 10 * time.Second, AnswerTimeout: time.Minute,
}

// errUnanswered ends KeepAlive.
var errUnanswered = errors.New("the peer does not answer pings")

// Conn is a WebSocket that speaks the protocol. One goroutine may call Read and one at a time may
// write; KeepAlive and Close may be called from anywhere.
type Conn struct {
	ws         *websocket.Conn
	timing     Timing
	maxPayload int
	header     [HeaderSize]byte
	body       bytes.Buffer
	pinged     chan string  // the last ping's data; KeepAlive answers it
	asked      atomic.Int64 // when the oldest ping was begun that has no answer, since began; if not before answered
	answered   atomic.Int64
	trip       atomic.Int64 // from the last ping to its pong
	began      time.Time
	arrived    atomic.Uint64 // bytes
	sequence   atomic.Uint64
	arrival    signal
	closeOnce  sync.Once
	closeErr   error
}

// NewConn takes over a WebSocket after its handshake. maxPayload bounds an access unit's payload in bytes. A dead peer
// is found where the WebSocket goes over what Watch returned, and KeepAlive runs.
func NewConn(ws *websocket.Conn, timing Timing, maxPayload int) *Conn {
	c := &Conn{ws: ws, timing: timing, maxPayload: maxPayload, pinged: make(chan string, 1), arrival: make(signal, 1), began: time.Now()}
	ws.SetReadLimit(int64(max(HeaderSize+maxPayload, MaxMessage)))
	ws.SetPingHandler(func(data string) error {
		select {
		case <-c.pinged: // the newest alone needs an answer (RFC 6455, 5.5.3)
		default:
		}
		c.pinged <- data // has room: only the reader puts something in
		return nil
	})
	ws.SetPongHandler(func(string) error {
		now := int64(time.Since(c.began))
		if asked := c.asked.Load(); asked > c.answered.Load() {
			c.trip.Store(now - asked)
		}
		c.answered.Store(now)
		return nil
	})
	if w := watchedBelow(ws.NetConn()); w != nil {
		w.begin(timing)
	}
	return c
}

// NetConn is the connection below the WebSocket, for SocketInfo and SetPacingRate. Nobody else may read or write it.
func (c *Conn) NetConn() net.Conn { return c.ws.NetConn() }

// RTT is the path's round-trip time and the least of it lately, from the kernel. Where that does not tell, both are what the last ping took, which
// also waits for what is being sent. ok is false while neither is known.
func (c *Conn) RTT() (rtt, least time.Duration, ok bool) {
	if info, err := SocketInfo(c.ws.NetConn()); err == nil && info.RTT > 0 {
		return info.RTT, min(info.MinRTT, info.RTT), true
	}
	rtt = time.Duration(c.trip.Load())
	return rtt, rtt, rtt > 0
}

// Read returns the next control message or access unit; exactly one of the two is set when err is nil.
// Errors about the bytes wrap ErrMalformed; any error ends the connection.
func (c *Conn) Read() (Message, *media.AccessUnit, error) {
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return nil, nil, err
	}
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
	if _, err := c.body.ReadFrom(io.LimitReader(&arrivals{c: c, r: r}, int64(c.maxPayload)+1)); err != nil {
		return nil, fmt.Errorf("reading access unit: %w", err)
	}
	switch size := c.body.Len(); {
	case size == 0:
		return nil, fmt.Errorf("%w: access unit without a payload", ErrMalformed)
	case size > c.maxPayload:
		return nil, fmt.Errorf("%w: payload of more than %d bytes", errTooBig, c.maxPayload)
	}
	c.sequence.Store(max(c.sequence.Load(), u.Sequence))
	c.arrival.set()
	u.Payload = slices.Clone(c.body.Bytes())
	if c.body.Cap() > maxKeptBody {
		c.body = bytes.Buffer{}
	}
	return &u, nil
}

// arrivals counts payload as it comes, also that of a unit which is not complete.
type arrivals struct {
	c     *Conn
	r     io.Reader
	quiet int // bytes that nobody was told of
}

func (a *arrivals) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	a.c.arrived.Add(uint64(n))
	if a.quiet += n; a.quiet >= arrivalStep {
		a.quiet = 0
		a.c.arrival.set()
	}
	return n, err
}

// Arrived is what Read has got so far: payload bytes, those of a unit that is not complete included, and the highest
// sequence of a complete one.
func (c *Conn) Arrived() (bytes, sequence uint64) { return c.arrived.Load(), c.sequence.Load() }

// Arrival gets a value when a unit has arrived, or a larger part of one, since the last value was taken.
func (c *Conn) Arrival() <-chan struct{} { return c.arrival }

// signal is a channel that remembers one value.
type signal chan struct{}

func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// WriteMessage sends a control message.
func (c *Conn) WriteMessage(m Message) error {
	b, err := EncodeMessage(m)
	if err != nil {
		return err
	}
	if err := c.ws.WriteMessage(websocket.TextMessage, b); err != nil {
		return fmt.Errorf("writing %s: %w", m.messageType(), err)
	}
	return nil
}

// WriteUnit sends an access unit. After an error the connection is useless: part of a frame may be out.
func (c *Conn) WriteUnit(u *media.AccessUnit) error {
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

// KeepAlive pings, and answers the peer's pings, until ctx ends or that cannot be done, and returns why. It waits for a
// fragment that is being written; the reader, to which pings come, never does.
func (c *Conn) KeepAlive(ctx context.Context) error {
	t := time.NewTicker(c.timing.PingInterval)
	defer t.Stop()
	var out time.Duration // when the oldest ping had left that has no answer: asked, and the wait for what was being sent
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case data := <-c.pinged:
			if err := c.control(websocket.PongMessage, data); err != nil {
				return err
			}
			continue
		case <-t.C:
		}
		select {
		case data := <-c.pinged: // first: on a slow link it is always time for a ping
			if err := c.control(websocket.PongMessage, data); err != nil {
				return err
			}
		default:
		}
		answered := c.answered.Load() >= c.asked.Load()
		if !answered && time.Since(c.began)-out > c.timing.AnswerTimeout {
			return errUnanswered
		}
		if answered {
			c.asked.Store(int64(time.Since(c.began))) // before the answer can come
		}
		if err := c.control(websocket.PingMessage, ""); err != nil {
			return err
		}
		if answered {
			out = time.Since(c.began)
		}
	}
}

// control writes a ping or pong when its turn has come. What the socket does not take in time fails by itself.
func (c *Conn) control(kind int, data string) error {
	if err := c.ws.WriteControl(kind, []byte(data), time.Time{}); err != nil {
		return fmt.Errorf("keeping alive: %w", err)
	}
	return nil
}

// Close tells the peer why, if that can be done within a second, and closes the socket. Only the first call counts.
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
