// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/harness"
	"github.com/kubeedge/datastream/tests/ports"
)

var chaosTime = flag.Duration("chaos", 0, "how long parts die at random in TestChaos")

const (
	chaosCameras = 20
	chaosViewers = 100
)

// TestChaos lets cameras, tunnels, cloud and edge die at random under viewers who come again whenever they are let go. At the
// end every viewer has a picture, and the process holds what it held before.
func TestChaos(t *testing.T) {
	if *chaosTime == 0 {
		t.Skip("no -chaos: make weaknet runs it")
	}
	log := &syncBuffer{}
	klog.LogToStderr(false)
	klog.SetOutput(log)
	defer klog.LogToStderr(true)

	p := newPlant(t)
	defer p.close()
	p.everybodyWatches(t)
	before := takeStock()

	kills := p.rampage(*chaosTime)
	restored := time.Now()
	p.everybodyWatches(t)
	t.Logf("%v in %v; every viewer had a picture again %v after the last one", kills, *chaosTime, time.Since(restored).Round(time.Millisecond))

	after := takeStock()
	t.Logf("before %+v, after %+v", before, after)
	after.compare(t, before)
	for _, sign := range []string{"goroutine ", "panic", "runtime error", "DATA RACE"} {
		if i := bytes.Index(log.bytes(), []byte(sign)); i >= 0 {
			t.Errorf("the log has %q: %.500s", sign, log.bytes()[i:])
		}
	}
}

// plant is 20 cameras, an edge, a cloud and 100 viewers, each of which can be killed.
type plant struct {
	t       *testing.T
	ca      *harness.Authority
	dir     string
	clip    *camera.Clip
	proxy   *harness.Proxy
	tunnels string // addresses
	viewers string
	targets []assignment.Target

	cameras     []*camera.Camera
	cloud, edge *part

	leave    context.CancelFunc
	audience sync.WaitGroup
	frames   [chaosViewers]atomic.Int64
}

// part is a module that runs.
type part struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func start(run func(context.Context)) *part {
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		run(ctx)
	}()
	return p
}

func (p *part) stop() {
	p.cancel()
	<-p.done
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p := &plant{t: t, dir: t.TempDir()}
	for _, address := range []*string{&p.tunnels, &p.viewers} {
		var err error
		if *address, err = ports.Free("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if p.ca, err = harness.NewAuthority(p.dir); err != nil {
		t.Fatal(err)
	}
	if p.clip, err = (camera.Traffic{BitRate: 300_000, FrameRate: 10, GOP: 10, KeyFactor: 4}).Clip(); err != nil {
		t.Fatal(err)
	}
	if p.proxy, err = harness.NewProxy(p.tunnels); err != nil {
		t.Fatal(err)
	}
	for i := range chaosCameras {
		cam, err := camera.Start(camera.Config{Clip: p.clip})
		if err != nil {
			t.Fatal(err)
		}
		p.cameras = append(p.cameras, cam)
		rule := fmt.Sprintf("camera-%d", i)
		p.targets = append(p.targets, assignment.Target{
			Namespace: "default", Rule: rule, RuleUID: "uid-" + rule, Path: "/camera", Endpoint: rule, Protocol: "websocket", URL: cam.URL(),
		})
	}
	p.cloud, p.edge = start(p.runCloud), start(p.runEdge)
	ctx, cancel := context.WithCancel(context.Background())
	p.leave = cancel
	for i := range chaosViewers {
		p.audience.Go(func() { p.watch(ctx, i) })
	}
	return p
}

func (p *plant) close() {
	p.leave()
	p.audience.Wait()
	p.edge.stop()
	p.cloud.stop()
	p.proxy.Close()
	for _, c := range p.cameras {
		c.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

func (p *plant) runCloud(ctx context.Context) {
	cfg := cloudConfig(p.t, p.ca)
	cfg.Tunnel.Listen, cfg.Stream.Listen = p.tunnels, p.viewers
	server := clouddatastream.NewServer(cfg, func(assignment.Report) {})
	directory := assignment.NodeDirectory{Node: node}
	for _, t := range p.targets {
		directory.Entries = append(directory.Entries, assignment.Entry{Namespace: t.Namespace, Rule: t.Rule, RuleUID: t.RuleUID, Path: t.Path})
	}
	server.Apply(directory)
	server.Synced()
	if err := server.ListenAndServe(ctx); err != nil {
		p.t.Errorf("cloud: %v", err)
	}
}

func (p *plant) runEdge(ctx context.Context) {
	cfg := edgeConfig(p.t, p.ca, p.dir)
	cfg.Server = "wss://" + p.proxy.Address()
	cfg.ReconnectMax = harness.Duration(5 * time.Second)
	agent := edgedatastream.NewAgent(cfg, edgedatastream.DefaultSources(), edgedatastream.NewMetrics(prometheus.NewRegistry()))
	if err := agent.Apply(assignment.New(node, p.targets)); err != nil {
		p.t.Error(err)
	}
	if err := agent.Run(ctx); err != nil {
		p.t.Errorf("edge: %v", err)
	}
}

// watch is one viewer; it comes again whenever it is let go.
func (p *plant) watch(ctx context.Context, i int) {
	url := fmt.Sprintf("%s/node/%s/camera-%d/camera", p.viewers, node, i%chaosCameras)
	for ctx.Err() == nil {
		if i%3 == 0 {
			p.watchMSE(ctx, i, "ws://"+url)
		} else {
			p.watchHTTP(ctx, i, "http://"+url+"?format="+[]string{"mp4", "ts"}[i%2])
		}
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(second)): // players do not come again at once either
		}
	}
}

func (p *plant) watchHTTP(ctx context.Context, i int, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		p.t.Error(err)
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, resp.Body)
		return
	}
	buf := make([]byte, 32<<10)
	for {
		if _, err := resp.Body.Read(buf); err != nil {
			return
		}
		p.frames[i].Add(1)
	}
}

func (p *plant) watchMSE(ctx context.Context, i int, url string) {
	ws, _, err := websocket.DefaultDialer.DialContext(ctx, url, nil)
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { ws.Close() })
	defer stop()
	defer ws.Close()
	if ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"mse","value":"avc1.640029,hvc1.1.6.L153.B0,mp4a.40.2,opus"}`)) != nil {
		return
	}
	for {
		kind, _, err := ws.ReadMessage()
		if err != nil {
			return
		}
		if kind == websocket.BinaryMessage {
			p.frames[i].Add(1)
		}
	}
}

// everybodyWatches waits until each viewer has got ten more pieces of its stream.
func (p *plant) everybodyWatches(t *testing.T) {
	t.Helper()
	var from [chaosViewers]int64
	for i := range from {
		from[i] = p.frames[i].Load()
	}
	deadline := time.Now().Add(2 * time.Minute)
	for i := range from {
		for p.frames[i].Load() < from[i]+10 {
			if time.Now().After(deadline) {
				t.Fatalf("viewer %d of camera %d has no picture", i, i%chaosCameras)
			}
			wait(20 * time.Millisecond)
		}
	}
}

// rampage kills for that long and mends what it broke. It returns what it did how often.
func (p *plant) rampage(d time.Duration) map[string]int {
	done := map[string]int{}
	actions := []struct {
		name string
		do   func()
	}{
		{"camera", func() { p.camera(rand.IntN(chaosCameras), rand.N(3*second)) }},
		{"tunnels cut", p.proxy.Cut},
		{"tunnels reset", p.proxy.Reset},
		{"tunnels half open", func() {
			p.proxy.HalfOpen([]harness.Side{harness.ClientSide, harness.ServerSide}[rand.IntN(2)])
		}},
		{"tunnels stalled", func() {
			p.proxy.Stall(true)
			wait(rand.N(3 * second))
			p.proxy.Stall(false)
		}},
		{"tunnels down", func() {
			p.proxy.SetDown(true)
			wait(rand.N(3 * second))
			p.proxy.SetDown(false)
		}},
		{"cloud", func() {
			p.cloud.stop()
			wait(rand.N(2 * second))
			p.cloud = start(p.runCloud)
		}},
		{"edge", func() {
			p.edge.stop()
			wait(rand.N(2 * second))
			p.edge = start(p.runEdge)
		}},
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		a := actions[rand.IntN(len(actions))]
		a.do()
		done[a.name]++
		wait(rand.N(4 * second))
	}
	return done
}

// camera kills a camera for so long.
func (p *plant) camera(i int, d time.Duration) {
	address := p.cameras[i].Address()
	p.cameras[i].Close()
	wait(d)
	cam, err := camera.Start(camera.Config{Clip: p.clip, Address: address})
	if err != nil {
		p.t.Errorf("camera %d does not come back: %v", i, err)
		return
	}
	p.cameras[i] = cam
}

// stock is what a process holds.
type stock struct {
	Goroutines, Files int
	HeapMiB           float64
}

// takeStock is the least of several looks: what comes and goes is not held.
func takeStock() stock {
	var all []stock
	for range 10 {
		wait(500 * time.Millisecond)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		files, _ := os.ReadDir("/proc/self/fd") // where there is none, nothing is compared
		all = append(all, stock{runtime.NumGoroutine(), len(files), float64(m.HeapInuse) / (1 << 20)})
	}
	least := slices.MinFunc(all, func(a, b stock) int { return a.Goroutines - b.Goroutines })
	for _, s := range all {
		least.Files, least.HeapMiB = min(least.Files, s.Files), min(least.HeapMiB, s.HeapMiB)
	}
	return least
}

// compare leaves room for connections that are just being replaced, and for what the allocator keeps.
func (s stock) compare(t *testing.T, before stock) {
	if s.Goroutines > before.Goroutines+20 {
		t.Errorf("%d goroutines, before %d", s.Goroutines, before.Goroutines)
	}
	if s.Files > before.Files+20 {
		t.Errorf("%d open files, before %d", s.Files, before.Files)
	}
	if s.HeapMiB > before.HeapMiB*1.3+10 {
		t.Errorf("%.0f MiB of heap, before %.0f", s.HeapMiB, before.HeapMiB)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.b.Bytes())
}
