// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package weaknet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// connect makes a TCP connection over the link.
func connect(t *testing.T, link *Link) (edge, cloud *net.TCPConn) {
	t.Helper()
	ctx := testContext(t)
	l, err := link.Cloud.Listen(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e, err := link.Edge.DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	deadline := time.Now().Add(patience)
	if err := errors.Join(e.SetDeadline(deadline), c.SetDeadline(deadline)); err != nil {
		t.Fatal(err)
	}
	return e.(*net.TCPConn), c.(*net.TCPConn)
}

// transfer sends that many bytes from one to the other, and checks that they arrive.
func transfer(t *testing.T, from, to *net.TCPConn, size int) {
	t.Helper()
	data := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(data)
		sent <- errors.Join(err, from.CloseWrite())
	}()
	sum := sha256.New()
	n, err := io.Copy(sum, to)
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Errorf("%d bytes arrived that are not the %d bytes sent", n, len(data))
	}
}

// waitStats returns the counters once they are ok.
func waitStats(t *testing.T, link *Link, what string, ok func(Stats) bool) Stats {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // nothing signals a counter
		stats := link.Stats()
		if ok(stats) {
			return stats
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s: %+v", what, stats)
		}
	}
}

func TestRateBoundsTCP(t *testing.T) {
	const size, rate, queue = 512 << 10, 8 * Mbit, 32 << 10
	link := Start(t, Config{Up: Path{Rate: rate, Queue: queue, Delay: 10 * ms}, Down: Path{Delay: 10 * ms}})
	edge, cloud := connect(t, link)
	begun := time.Now()
	transfer(t, edge, cloud, size)
	elapsed := time.Since(begun)
	up := link.Stats().Up
	if up.Delivered.Bytes < size {
		t.Errorf("%d bytes delivered of %d", up.Delivered.Bytes, size)
	}
	// How long it takes depends on the machine; how short, on the link only.
	if least := (Path{Rate: rate}).sendTime(size); elapsed < least {
		t.Errorf("%d bytes took %v, the rate allows %v", size, elapsed, least)
	}
	if up.MaxQueue > queue || up.MaxQueue <= MTU {
		t.Errorf("queue of up to %d bytes, its bound is %d", up.MaxQueue, queue)
	}
	t.Logf("%.2f Mbit/s with %s, %+v", size*8/elapsed.Seconds()/1e6, link.CongestionControl(), up)
}

func TestRoundTripTime(t *testing.T) {
	link := Start(t, Config{Up: Path{Delay: 30 * ms, Jitter: 10 * ms}, Down: Path{Delay: 50 * ms}})
	ctx := testContext(t)
	cloud, err := link.Cloud.ListenPacket(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	edge, err := link.Edge.DialContext(ctx, "udp", cloud.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer edge.Close()
	buf := make([]byte, MTU)
	for range 5 {
		begun := time.Now()
		if _, err := edge.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		n, from, err := cloud.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cloud.WriteTo(buf[:n], from); err != nil {
			t.Fatal(err)
		}
		if _, err := edge.Read(buf); err != nil {
			t.Fatal(err)
		}
		if rtt := time.Since(begun); rtt < 80*ms {
			t.Errorf("round trip in %v over 80 ms of delay", rtt)
		}
	}
}

func TestLossIsCounted(t *testing.T) {
	const packets, size = 400, 100
	link := Start(t, Config{Up: Path{Loss: 0.25}, Seed: 7})
	ctx := testContext(t)
	cloud, err := link.Cloud.ListenPacket(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	edge, err := link.Edge.DialContext(ctx, "udp", cloud.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer edge.Close()
	for range packets {
		if _, err := edge.Write(make([]byte, size-28)); err != nil { // IP and UDP headers are counted too
			t.Fatal(err)
		}
	}
	up := waitStats(t, link, "all packets", func(s Stats) bool { return s.Up.Delivered.Packets+s.Up.Lost.Packets == packets }).Up
	if up.Lost.Packets < packets/8 || up.Lost.Packets > packets/2 || up.Lost.Bytes != size*up.Lost.Packets || up.Offered.Bytes != size*packets {
		t.Errorf("counters %+v", up)
	}
}

func TestTCPSurvivesLossJitterAndSteps(t *testing.T) {
	bad := Path{Rate: 50 * Mbit, Delay: 5 * ms, Jitter: 5 * ms, Reorder: true, Loss: 0.02, Burst: 2}
	link := Start(t, Config{Up: bad, Down: bad, Seed: 1})
	edge, cloud := connect(t, link)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * ms)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				path := bad
				path.Rate, path.Delay = (10+i%40)*Mbit, time.Duration(i%7)*ms
				link.SetUp(path)
				link.SetDown(path)
			}
		}
	}()
	transfer(t, edge, cloud, 1<<20)
	close(stop)
	<-stopped
	stats := link.Stats()
	if stats.Up.Lost.Packets == 0 {
		t.Error("nothing was lost")
	}
	t.Logf("up %+v", stats.Up)
}

func TestBlackholeAndRecovery(t *testing.T) {
	link := Start(t, Config{Up: Path{Delay: ms}, Down: Path{Delay: ms}})
	edge, cloud := connect(t, link)
	buf := make([]byte, 16)
	send := func(what string) {
		t.Helper()
		if _, err := io.WriteString(edge, what); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(want string) {
		t.Helper()
		if _, err := io.ReadFull(cloud, buf[:len(want)]); err != nil || string(buf[:len(want)]) != want {
			t.Fatalf("read %q, %v; want %q", buf[:len(want)], err, want)
		}
	}
	send("before")
	receive("before")
	link.Blackhole(true)
	before := link.Stats().Up.Delivered
	send("during")
	// It vanishes, and so does what TCP sends again.
	during := waitStats(t, link, "packets that vanish", func(s Stats) bool { return s.Up.Vanished.Packets >= 2 })
	if came := during.Up.Delivered.Packets - before.Packets; came > 1 { // an acknowledgement may have been on its way
		t.Errorf("%d packets came through", came)
	}
	link.Blackhole(false)
	receive("during") // TCP brings it by itself
	send("after")
	receive("after")
}

func TestTwoLinksSideBySide(t *testing.T) {
	one := Start(t, Config{})
	two := Start(t, Config{Up: Path{Blackhole: true}})
	ctx := testContext(t)
	l, err := one.Cloud.Listen(ctx, 7000)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	same, err := two.Cloud.Listen(ctx, 7000) // the same address, in another namespace
	if err != nil {
		t.Fatal(err)
	}
	defer same.Close()
	c, err := one.Edge.DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	soon, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := two.Edge.DialContext(soon, "tcp", same.Addr().String())
		failed <- err
	}()
	waitStats(t, two, "the second link's SYN", func(s Stats) bool { return s.Up.Vanished.Packets > 0 })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("dialling into the black hole: %v", err)
	}
}

func TestDialNeedsAnAddress(t *testing.T) {
	link := Start(t, Config{})
	if _, err := link.Edge.DialContext(testContext(t), "tcp", "localhost:80"); err == nil {
		t.Error("dialled a name")
	}
}

func TestClose(t *testing.T) {
	Require(t)
	link, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(link.Close(), link.Close()); err != nil {
		t.Errorf("closing: %v", err)
	}
	if _, err := link.Edge.DialContext(testContext(t), "tcp", netip.AddrPortFrom(link.Cloud.Addr(), 1).String()); err == nil {
		t.Error("dialled over a closed link")
	}
}

// A connection that the link forgets is dead for both ends, and the next one is not.
func TestForget(t *testing.T) {
	link := Start(t, Config{})
	l, err := link.Cloud.Listen(t.Context(), 7000)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 2)
	go func() {
		for range cap(accepted) {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for round := range 2 {
		edge, err := link.Edge.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer edge.Close()
		cloud := <-accepted
		defer cloud.Close()
		if _, err := edge.Write([]byte("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := cloud.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			return
		}
		link.Forget()
		before := link.Stats().Up.Delivered
		if _, err := edge.Write([]byte("b")); err != nil {
			t.Fatal(err)
		}
		now := waitStats(t, link, "the packet to vanish", func(s Stats) bool { return s.Up.Vanished.Packets > 0 })
		if now.Up.Delivered != before {
			t.Errorf("%v was delivered, before %v", now.Up.Delivered, before)
		}
	}
}
