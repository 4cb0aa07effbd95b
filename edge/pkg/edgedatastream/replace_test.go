// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// pipes is a dialer of tunnels in memory, to a cloud that hands each over as a link. Any of them may be stalled.
type pipes struct {
	links chan *stallable
	// dialling, if set, is called with each dial's number, from 1 on, before the dial.
	dialling func(ctx context.Context, number int) error

	mutex  sync.Mutex
	number int
	gates  []*gate
	wg     sync.WaitGroup
}

// stallable is a link whose cloud may stop reading.
type stallable struct {
	*link
	gate *gate
}

// gate lets bytes through while it is open.
type gate struct {
	net.Conn
	mutex sync.Mutex
	open  chan struct{} // closed while it is open
	shuts bool
}

func (g *gate) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.mutex.Lock()
	open := g.open
	g.mutex.Unlock()
	<-open
	return n, err
}

func (g *gate) shut() {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.open, g.shuts = make(chan struct{}), true
}

func (g *gate) unlock() {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.shuts {
		g.shuts = false
		close(g.open)
	}
}

// taken is an http.ResponseWriter that gives away its connection.
type taken struct {
	http.ResponseWriter
	conn net.Conn
	rw   *bufio.ReadWriter
}

func (t taken) Hijack() (net.Conn, *bufio.ReadWriter, error) { return t.conn, t.rw, nil }

func (p *pipes) dial(ctx context.Context, key tunnel.StreamKey) (*tunnel.Conn, error) {
	p.mutex.Lock()
	p.number++
	number := p.number
	p.mutex.Unlock()
	if p.dialling != nil {
		if err := p.dialling(ctx, number); err != nil {
			return nil, err
		}
	}
	near, far := net.Pipe()
	p.wg.Go(func() { p.serve(far, key) })
	client := websocket.Dialer{
		NetDialContext:  func(context.Context, string, string) (net.Conn, error) { return near, nil },
		WriteBufferSize: tunnel.WriteBufferSize,
	}
	ws, resp, err := client.DialContext(ctx, "ws://cloud/", nil)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	return tunnel.NewConn(ws, tunnel.DefaultTiming, tunnel.DefaultMaxPayload), nil
}

func (p *pipes) serve(conn net.Conn, key tunnel.StreamKey) {
	g := &gate{Conn: conn, open: make(chan struct{}), shuts: true}
	g.unlock()
	p.mutex.Lock()
	p.gates = append(p.gates, g)
	p.mutex.Unlock()
	rw := bufio.NewReadWriter(bufio.NewReader(g), bufio.NewWriter(g))
	req, err := http.ReadRequest(rw.Reader)
	if err != nil {
		return
	}
	ws, err := new(websocket.Upgrader).Upgrade(taken{ResponseWriter: httptest.NewRecorder(), conn: g, rw: rw}, req, nil)
	if err != nil {
		return
	}
	l := &link{key: key, conn: tunnel.NewConn(ws, tunnel.DefaultTiming, tunnel.DefaultMaxPayload), in: make(chan any, 1<<16)}
	p.links <- &stallable{l, g}
	l.read()
}

// replaceTest is a channel whose source is the test itself: a picture each 40 ms, each 25th a key frame.
type replaceTest struct {
	*testing.T
	*pipes
	channel *channel
	session *session
	next    int
}

// replacing runs f on a channel in virtual time, and joins everything. dialling is the pipes'.
func replacing(t *testing.T, dialling func(context.Context, int) error, f func(*replaceTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &replaceTest{T: t, pipes: &pipes{links: make(chan *stallable, 16), dialling: dialling}}
		epoch := uint64(0)
		r.channel = &channel{
			stream: newStream(tunnel.StreamKey{}, target("test://"), v1alpha1.NewDefaultEdgeDataStream(), nil, NewMetrics(prometheus.NewRegistry())),
			dialer: r.pipes, redial: newSignal(), hurry: newSignal(),
			hello: func(uid string) *tunnel.Hello {
				epoch++
				return &tunnel.Hello{Node: testNode, RuleUID: uid, Revision: "1", Epoch: epoch}
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		var joined sync.WaitGroup
		joined.Go(func() { r.channel.connect(ctx) })
		defer func() { // also behind a Fatal
			cancel()
			for _, g := range r.gates {
				g.unlock()
			}
			joined.Wait()
			r.channel.close()
			r.wg.Wait()
		}()
		f(r)
	})
}

// accept returns the next tunnel, and what its hello says.
func (r *replaceTest) accept() *stallable {
	r.Helper()
	l := receive(r.T, r.links)
	hello := receive(r.T, l.in)
	var ok bool
	if l.hello, ok = hello.(*tunnel.Hello); !ok {
		r.Fatalf("the first message is %v", hello)
	}
	return l
}

// start makes a tunnel's cloud want the stream.
func (r *replaceTest) start(l *stallable) {
	r.Helper()
	l.desire(r.T, tunnel.Start)
	synctest.Wait()
	if r.session == nil {
		r.session, _ = r.channel.begin(r.Context())
		r.session.Tracks([]media.Track{{
			Kind: media.Video, Codec: media.H264, ClockRate: 90000,
			SPS: []byte{0x67, 0x64, 0x00, 0x0c, 0xac, 0x3b, 0x50, 0xb0, 0x4b, 0x42, 0x00, 0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03, 0x00, 0x3d, 0x08},
			PPS: []byte{0x68, 0xee, 0x3c, 0x80},
		}}, nil)
	}
}

// film makes pictures for some time.
func (r *replaceTest) film(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		r.session.Unit(&media.AccessUnit{PTS: int64(r.next), Capture: time.Now(), RandomAccess: r.next%25 == 0, Payload: make([]byte, 5000)})
		r.next++
		time.Sleep(40 * time.Millisecond)
	}
	synctest.Wait()
}

func (r *replaceTest) none(what string) {
	r.Helper()
	if n := len(r.links); n > 0 {
		r.Errorf("%d other tunnels %s", n, what)
	}
}

// A tunnel on which nothing is acknowledged for two seconds is replaced, once, by one of a newer epoch, where the stream goes on.
func TestSilentTunnelIsReplaced(t *testing.T) {
	replacing(t, nil, func(r *replaceTest) {
		old := r.accept()
		r.start(old)
		r.film(5 * time.Second)
		old.unit(r.T)
		r.none("while all is well")

		old.gate.shut()
		began := time.Now()
		r.film(silence)
		r.none("before the time")
		for len(r.links) == 0 && time.Since(began) < time.Minute {
			r.film(40 * time.Millisecond)
		}
		if d := time.Since(began); d > silence+silenceLook+100*time.Millisecond {
			t.Errorf("replaced after %v", d)
		}
		l := r.accept()
		if l.hello.Epoch != old.hello.Epoch+1 {
			t.Errorf("epoch %d behind %d", l.hello.Epoch, old.hello.Epoch)
		}
		r.start(l)
		if u := l.unit(r.T); !u.RandomAccess || !u.Discontinuity && u.Sequence > old.last.Sequence+1000 {
			t.Errorf("the new tunnel begins with %+v", u)
		}
		r.film(5 * time.Second)
		r.none("behind the replacement")
		l.video(r.T)

		old.gate.unlock()
		if err := old.end(r.T); err == nil {
			t.Error("the old tunnel has no end")
		}
	})
}

// While nobody answers, one dial follows another; the first that succeeds is used.
func TestReplacementIsTriedAgain(t *testing.T) {
	var failed atomic.Int32
	replacing(t, func(ctx context.Context, number int) error {
		if number == 1 || number > 4 {
			return nil
		}
		failed.Add(1)
		select {
		case <-ctx.Done():
		case <-time.After(connectTimeout):
		}
		return errUnanswered
	}, func(r *replaceTest) {
		old := r.accept()
		r.start(old)
		r.film(time.Second)
		old.gate.shut()
		began := time.Now()
		for len(r.links) == 0 && time.Since(began) < time.Minute {
			r.film(40 * time.Millisecond)
		}
		d := time.Since(began)
		if least := silence + 3*connectTimeout; failed.Load() != 3 || d < least || d > least+4*silenceLook+100*time.Millisecond {
			t.Errorf("replaced after %d failed dials and %v", failed.Load(), d)
		}
		r.accept()
		old.gate.unlock()
		if err := old.end(r.T); err == nil {
			t.Error("the old tunnel has no end")
		}
	})
}

// A cloud that is merely slow keeps its tunnel.
func TestSlowTunnelIsKept(t *testing.T) {
	replacing(t, nil, func(r *replaceTest) {
		l := r.accept()
		r.start(l)
		r.film(time.Second)
		for range 8 {
			l.gate.shut()
			r.film(1900 * time.Millisecond)
			l.gate.unlock()
			r.film(200 * time.Millisecond)
			r.none("though something came through each 2 s")
		}
	})
}

// A tunnel on which nothing is sent is not silent.
func TestIdleTunnelIsKept(t *testing.T) {
	replacing(t, nil, func(r *replaceTest) {
		l := r.accept()
		r.start(l)
		r.film(time.Second)
		l.gate.shut()
		time.Sleep(4 * time.Second)
		r.none("though nothing is under way")
		l.gate.unlock()
	})
}

// What turns up while another tunnel is dialled keeps the present one; the other one is closed.
func TestReplacementIsNotNeeded(t *testing.T) {
	replacing(t, func(_ context.Context, number int) error {
		if number == 2 {
			time.Sleep(1500 * time.Millisecond)
		}
		return nil
	}, func(r *replaceTest) {
		l := r.accept()
		r.start(l)
		r.film(time.Second)
		l.gate.shut()
		r.film(2500 * time.Millisecond)
		l.gate.unlock()
		r.film(2 * time.Second)
		spare := receive(t, r.links)
		err := receive(t, spare.in).(error)
		if !websocket.IsCloseError(err, tunnel.CloseNormal) {
			t.Errorf("the other tunnel ended with %v", err)
		}
		r.film(5 * time.Second)
		r.none("behind that")
		for len(l.in) > 0 {
			l.next(t)
		}
		r.channel.mutex.Lock()
		defer r.channel.mutex.Unlock()
		if l.last.Sequence != r.channel.sequence {
			t.Errorf("the last unit is %d, the source's %d", l.last.Sequence, r.channel.sequence)
		}
	})
}

// Where the cloud's machine acknowledges what its program does not read, the cloud is slow and not gone.
func TestUnheard(t *testing.T) {
	upgraded := make(chan *websocket.Conn, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if ws, err := new(websocket.Upgrader).Upgrade(w, req, nil); err == nil {
			upgraded <- ws
		}
	}))
	defer server.Close()
	ws, resp, err := websocket.DefaultDialer.Dial("ws"+server.URL[len("http"):], nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	defer receive(t, upgraded).Close()
	conn := tunnel.NewConn(ws, tunnel.DefaultTiming, tunnel.DefaultMaxPayload)
	defer conn.Close(tunnel.CloseNormal, "")
	if err := conn.WriteUnit(&media.AccessUnit{Payload: make([]byte, 1000)}); err != nil {
		t.Fatal(err)
	}
	if _, err := tunnel.SocketInfo(conn.NetConn()); errors.Is(err, tunnel.ErrNotTCP) {
		t.Skip("this platform does not tell")
	}
	if unheard(conn) {
		t.Error("nothing is heard of a machine that is there")
	}
}

// A cloud that refuses a replacement and says when to come again is left alone until then.
func TestReplacementIsRefused(t *testing.T) {
	var dials atomic.Int32
	replacing(t, func(_ context.Context, number int) error {
		if number == 1 {
			return nil
		}
		dials.Add(1)
		return &refusedError{status: http.StatusServiceUnavailable, retryAfter: time.Minute}
	}, func(r *replaceTest) {
		old := r.accept()
		r.start(old)
		r.film(time.Second)
		old.gate.shut()
		r.film(9 * time.Second)
		if n := dials.Load(); n != 1 {
			t.Errorf("%d dials", n)
		}
		old.gate.unlock()
	})
}
