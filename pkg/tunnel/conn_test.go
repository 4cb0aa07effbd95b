// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/kubeedge/datastream/pkg/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testMaxPayload = 1 << 20

// patient never times out within a test.
var patient = Timing{PingInterval: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute, AnswerTimeout: time.Minute}

// watchedListener accepts what NewConn can watch.
type watchedListener struct{ net.Listener }

func (l watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return Watch(c), nil
}

// dialRaw returns the two ends of a WebSocket over TLS.
func dialRaw(t *testing.T) (edge, cloud *websocket.Conn) {
	t.Helper()
	accepted := make(chan *websocket.Conn, 1)
	upgrader := websocket.Upgrader{Subprotocols: []string{Subprotocol}}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
		}
		accepted <- ws
	}))
	srv.Listener = watchedListener{srv.Listener}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	dialer := websocket.Dialer{
		NetDial: func(network, address string) (net.Conn, error) {
			c, err := net.Dial(network, address)
			if err != nil {
				return nil, err
			}
			return Watch(c), nil
		},
		TLSClientConfig: srv.Client().Transport.(*http.Transport).TLSClientConfig,
		Subprotocols:    []string{Subprotocol}, WriteBufferSize: WriteBufferSize,
	}
	edge, resp, err := dialer.Dial("wss"+strings.TrimPrefix(srv.URL, "https"), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	t.Cleanup(func() { edge.Close() })
	cloud = <-accepted
	if cloud == nil {
		t.FailNow()
	}
	t.Cleanup(func() { cloud.Close() })
	return edge, cloud
}

func dial(t *testing.T, timing Timing) (edge, cloud *Conn) {
	t.Helper()
	e, c := dialRaw(t)
	return NewConn(e, timing, testMaxPayload), NewConn(c, timing, testMaxPayload)
}

func TestConnRoundTrip(t *testing.T) {
	edge, cloud := dial(t, patient)
	units := []*media.AccessUnit{exampleUnit()}
	for i, size := range []int{1, 100, WriteBufferSize - HeaderSize, WriteBufferSize, 3*WriteBufferSize + 17, testMaxPayload, 5} {
		u := exampleUnit()
		u.Sequence, u.Payload = uint64(i+2), bytes.Repeat([]byte{byte(i + 1)}, size)
		units = append(units, u)
	}
	written := make(chan error, 1)
	go func() {
		defer close(written)
		for _, c := range exampleMessages {
			if err := edge.WriteMessage(c.message); err != nil {
				written <- err
				return
			}
		}
		for _, u := range units {
			if err := edge.WriteUnit(u); err != nil {
				written <- err
				return
			}
		}
	}()
	for _, c := range exampleMessages {
		m, u, err := cloud.Read()
		if err != nil || u != nil || !reflect.DeepEqual(m, c.message) {
			t.Fatalf("got %+v, %+v, %v, want %+v", m, u, err, c.message)
		}
	}
	var got []*media.AccessUnit
	for range units {
		m, u, err := cloud.Read()
		if err != nil || m != nil || u == nil {
			t.Fatalf("got %+v, %+v, %v, want an access unit", m, u, err)
		}
		got = append(got, u)
	}
	for i, want := range units { // all of them, so that none shares memory with a later one
		if !sameHeader(got[i], want) || !bytes.Equal(got[i].Payload, want.Payload) {
			t.Errorf("unit %d differs", i)
		}
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestConnKeepsNoLargeBuffer(t *testing.T) {
	edge, cloud := dial(t, patient)
	u := exampleUnit()
	u.Payload = make([]byte, testMaxPayload)
	written := make(chan error, 1)
	go func() { written <- edge.WriteUnit(u) }()
	if _, _, err := cloud.Read(); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if got := cloud.body.Cap(); got > maxKeptBody {
		t.Errorf("keeps %d bytes between two units", got)
	}
}

// What breaks the protocol ends the connection with the code that says so.
func TestConnRefuses(t *testing.T) {
	header := AppendHeader(nil, exampleUnit())
	otherVersion := bytes.Clone(header)
	otherVersion[0] = 9
	for name, c := range map[string]struct {
		kind int
		data []byte
		max  int
		code int
	}{
		"not JSON":                         {websocket.TextMessage, []byte("hi"), testMaxPayload, CloseMalformed},
		"empty text":                       {websocket.TextMessage, nil, testMaxPayload, CloseMalformed},
		"empty binary":                     {websocket.BinaryMessage, nil, testMaxPayload, CloseMalformed},
		"short header":                     {websocket.BinaryMessage, header[:HeaderSize-1], testMaxPayload, CloseMalformed},
		"no payload":                       {websocket.BinaryMessage, header, testMaxPayload, CloseMalformed},
		"other version":                    {websocket.BinaryMessage, append(otherVersion, 1), testMaxPayload, CloseMalformed},
		"large unit":                       {websocket.BinaryMessage, append(bytes.Clone(header), make([]byte, testMaxPayload+1)...), testMaxPayload, CloseTooBig},
		"large unit, below MaxMessage":     {websocket.BinaryMessage, append(bytes.Clone(header), make([]byte, 101)...), 100, CloseTooBig},
		"large message":                    {websocket.TextMessage, make([]byte, testMaxPayload+HeaderSize+1), testMaxPayload, CloseTooBig},
		"large message, smaller than unit": {websocket.TextMessage, make([]byte, MaxMessage+1), testMaxPayload, CloseTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			edge, ws := dialRaw(t)
			cloud := NewConn(ws, patient, c.max)
			written := make(chan struct{})
			go func() {
				defer close(written)
				_ = edge.WriteMessage(c.kind, c.data) // may fail: the other end closes early
			}()
			m, u, err := cloud.Read()
			if err == nil || m != nil || u != nil {
				t.Fatalf("got %+v, %+v, %v, want only an error", m, u, err)
			}
			if got := CloseCode(err); got != c.code {
				t.Errorf("close code %d for %v, want %d", got, err, c.code)
			}
			if c.code == CloseMalformed && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v is not ErrMalformed", err)
			}
			<-written
			_ = cloud.Close(CloseCode(err), err.Error())
			_, _, err = edge.ReadMessage()
			if !websocket.IsCloseError(err, c.code) {
				t.Errorf("the peer got %v, want close code %d", err, c.code)
			}
		})
	}
}

func TestConnAcceptsTheLargest(t *testing.T) {
	edge, cloud := dialRaw(t)
	conn := NewConn(cloud, patient, testMaxPayload)
	prefix := `{"type":"later","x":"`
	text := prefix + strings.Repeat("x", MaxMessage-len(prefix)-2) + `"}`
	if err := edge.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if m, _, err := conn.Read(); err != nil || !reflect.DeepEqual(m, &Unknown{Type: "later"}) {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestConnCloseTellsWhy(t *testing.T) {
	edge, cloud := dial(t, patient)
	if err := cloud.Close(CloseFenced, strings.Repeat("x", 119)+"é, and more"); err != nil {
		t.Error(err)
	}
	if err := cloud.Close(CloseNormal, "again"); err != nil {
		t.Error(err)
	}
	_, _, err := edge.Read()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != CloseFenced || closed.Text != strings.Repeat("x", 119) {
		t.Errorf("the peer got %v, want the code, and the reason cut between two characters", err)
	}
	if got := CloseCode(err); got != CloseGoingAway {
		t.Errorf("got close code %d", got)
	}
	if _, _, err := cloud.Read(); err == nil {
		t.Error("Read goes on after Close")
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func TestConnReadTimeout(t *testing.T) {
	timing := patient
	timing.ReadTimeout = 20 * time.Millisecond
	_, ws := dialRaw(t)
	_, _, err := NewConn(ws, timing, testMaxPayload).Read()
	if !isTimeout(err) {
		t.Errorf("got %v, want a timeout", err)
	}
}

// Both ends are idle for many ReadTimeouts: the pings of one, and the answers to them, are enough.
func TestConnKeepAlive(t *testing.T) {
	client, server := certificates()
	synctest.Test(t, func(t *testing.T) {
		p := newPath(time.Millisecond)
		edge, cloud := p.handshake(t, client, server, func() {})
		edge.ws.SetPingHandler(nil) // the library's own, which answers
		cloudRead, edgeRead, alive := make(chan error, 1), make(chan error, 1), make(chan error, 1)
		go func() {
			_, _, err := cloud.Read()
			cloudRead <- err
		}()
		go func() {
			_, _, err := edge.ws.ReadMessage()
			edgeRead <- err
		}()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { alive <- cloud.KeepAlive(ctx) }()

		time.Sleep(20 * timing.ReadTimeout)
		select {
		case err := <-cloudRead:
			t.Errorf("the connection died: %v", err)
		case err := <-edgeRead:
			t.Errorf("the peer's connection died: %v", err)
		default:
		}
		cancel()
		if err := <-alive; !errors.Is(err, context.Canceled) {
			t.Errorf("KeepAlive returned %v", err)
		}
		_ = cloud.Close(CloseNormal, "")
		if err := <-edgeRead; !websocket.IsCloseError(err, CloseNormal) {
			t.Error(err)
		}
		_ = edge.Close(CloseNormal, "")
		<-cloudRead
		p.wg.Wait()
	})
}

func TestConnKeepAliveEndsWithTheSocket(t *testing.T) {
	timing := patient
	timing.PingInterval = time.Millisecond
	_, ws := dialRaw(t)
	cloud := NewConn(ws, timing, testMaxPayload)
	ws.Close()
	if err := cloud.KeepAlive(t.Context()); err == nil {
		t.Error("KeepAlive ended without an error")
	}
}

// A message that takes many ReadTimeouts is fine for as long as its pieces come.
func TestConnSlowMessage(t *testing.T) {
	client, server := certificates()
	synctest.Test(t, func(t *testing.T) {
		p := newPath(time.Millisecond)
		edge, cloud := p.handshake(t, client, server, func() {})
		u := exampleUnit()
		u.Payload = bytes.Repeat([]byte{7}, 20)
		sent := make(chan error, 1)
		go func() {
			// One WebSocket frame, by hand: FIN and binary, 16 bits of length, a mask of zeros.
			frame := []byte{0x82, 0x80 | 126}
			frame = binary.BigEndian.AppendUint16(frame, uint16(HeaderSize+len(u.Payload)))
			frame = append(frame, 0, 0, 0, 0)
			_, err := edge.ws.NetConn().Write(AppendHeader(frame, u))
			for i := 0; err == nil && i < len(u.Payload); i++ {
				time.Sleep(timing.ReadTimeout - time.Second)
				_, err = edge.ws.NetConn().Write(u.Payload[i : i+1])
			}
			sent <- err
		}()
		_, got, err := cloud.Read()
		if err != nil || !bytes.Equal(got.Payload, u.Payload) {
			t.Errorf("got %v", err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		_ = edge.Close(CloseNormal, "")
		_ = cloud.Close(CloseNormal, "")
		p.wg.Wait()
	})
}

// A peer that stops in the middle of a message is found dead too.
func TestConnStalledMessage(t *testing.T) {
	timing := patient
	timing.ReadTimeout = 50 * time.Millisecond
	edge, ws := dialRaw(t)
	cloud := NewConn(ws, timing, testMaxPayload)
	if _, err := edge.NetConn().Write([]byte{0x82, 0x80 | 100, 0, 0, 0, 0, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cloud.Read(); !isTimeout(err) {
		t.Errorf("got %v, want a timeout", err)
	}
}
