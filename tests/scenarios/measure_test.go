// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/tests/camera"
)

// arrival is a picture that reached the cloud.
type arrival struct {
	at      time.Time
	latency time.Duration // since the edge had it
}

// probe is an output that notes when access units come.
type probe struct {
	mu       sync.Mutex
	arrivals []arrival
	closed   chan struct{}
	close    func()
}

type probes struct {
	mu sync.Mutex
	by map[string]*probe
}

func newProbes() *probes { return &probes{by: make(map[string]*probe)} }

func (p *probes) of(rule string) *probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by[rule] == nil {
		p.by[rule] = &probe{}
	}
	return p.by[rule]
}

// output is an output.Factory. An output that comes after another of the stream goes on with its notes.
func (p *probes) output(s output.Stream, _ output.Config) output.Output {
	out := p.of(s.Key().Rule)
	out.closed = make(chan struct{})
	out.close = sync.OnceFunc(func() { close(out.closed) })
	return out
}

func (*probe) Open([]media.Track) error { return nil }

func (p *probe) Write(u *media.AccessUnit) error {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arrivals = append(p.arrivals, arrival{now, now.Sub(u.Capture)})
	return nil
}

func (p *probe) Close() { p.close() }

func (p *probe) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn := http.NewResponseController(w)
	_ = errors.Join(conn.SetReadDeadline(time.Time{}), conn.SetWriteDeadline(time.Time{}), conn.Flush())
	select {
	case <-r.Context().Done():
	case <-p.closed:
	}
}

// since returns what has come since then.
func (p *probe) since(t time.Time) []arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, _ := slices.BinarySearchFunc(p.arrivals, t, func(a arrival, t time.Time) int { return a.at.Compare(t) })
	return slices.Clone(p.arrivals[i:])
}

// viewer reads fragmented MP4 and says what a decoder would say.
type viewer struct {
	first  chan struct{}
	marked bool // the frames say what they refer to

	mu      sync.Mutex
	frames  []time.Time
	bytes   int
	broken  int // frames whose reference had not come
	ended   int // times that the server let it go
	lastErr error
}

func newViewer(marked bool) *viewer { return &viewer{first: make(chan struct{}), marked: marked} }

func (v *viewer) err() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lastErr
}

// watch reads for ever; a viewer that was let go comes again.
func (v *viewer) watch(ctx context.Context, url string) {
	for ctx.Err() == nil {
		err := v.read(ctx, url)
		if ctx.Err() != nil {
			return
		}
		v.mu.Lock()
		if v.lastErr = err; len(v.frames) > 0 {
			v.ended++
		}
		v.mu.Unlock()
	}
}

func (v *viewer) read(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	have := -1 // the reference that a decoder has
	for {
		var head [8]byte
		if _, err := io.ReadFull(resp.Body, head[:]); err != nil {
			return err
		}
		box := make([]byte, binary.BigEndian.Uint32(head[:])-8)
		if _, err := io.ReadFull(resp.Body, box); err != nil {
			return err
		}
		if !bytes.Equal(head[4:], []byte("mdat")) {
			continue
		}
		if err := v.frame(box, &have); err != nil {
			return err
		}
	}
}

// frame takes one sample: NAL units behind their lengths, the slice as the last of them.
func (v *viewer) frame(sample []byte, have *int) error {
	nalu := sample
	for v.marked && len(sample) >= 4 {
		n := int(binary.BigEndian.Uint32(sample)) + 4
		if n > len(sample) {
			return errors.New("a NAL unit is longer than its sample")
		}
		nalu, sample = sample[4:n], sample[n:]
	}
	var mark camera.Mark
	if v.marked {
		var err error
		if mark, err = camera.ParseMark(nalu); err != nil {
			return err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.frames = append(v.frames, time.Now())
	v.bytes += len(nalu)
	if len(v.frames) == 1 {
		close(v.first)
	}
	const nalRefIDC = 0x60
	switch {
	case mark.Reference != mark.Frame && int(mark.Reference) != *have:
		v.broken++
	case nalu[0]&nalRefIDC != 0:
		*have = int(mark.Frame)
	}
	return nil
}

// since returns when frames came since then.
func (v *viewer) since(t time.Time) []time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	i, _ := slices.BinarySearchFunc(v.frames, t, time.Time.Compare)
	return slices.Clone(v.frames[i:])
}

// peak is the most that waited in the edge's queues, in bytes.
type peak struct {
	mu   sync.Mutex
	most float64
}

func (p *peak) watch(ctx context.Context, reg *prometheus.Registry) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		v := gather(reg, "datastream_edge_queue_bytes")[""]
		p.mu.Lock()
		p.most = max(p.most, v)
		p.mu.Unlock()
	}
}

func (p *peak) bytes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int(p.most)
}

// gather returns the values of a metric by the value of its first label.
func gather(reg *prometheus.Registry, name string) map[string]float64 {
	out := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		return out
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			label := ""
			if l := m.GetLabel(); len(l) > 0 {
				label = l[0].GetValue()
			}
			out[label] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}
