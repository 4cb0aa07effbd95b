// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/pki"
)

// gathered returns the values of a metric by its labels' values, in order.
func gathered(t *testing.T, g prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			values[strings.Join(labels, ",")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func TestStreamsByState(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	check := func(name string, want map[string]float64) {
		t.Helper()
		for labels, got := range gathered(t, reg, name) {
			if got != want[labels] {
				t.Errorf("%s of %s: %v, want %v", name, labels, got, want[labels])
			}
		}
	}
	if n := len(gathered(t, reg, "datastream_edge_streams")); n != 5 {
		t.Errorf("%d states without a stream, want 5", n)
	}
	s := newStream(tunnel.StreamKey{}, target("test://"), v1alpha1.NewDefaultEdgeDataStream(), nil, m)
	check("datastream_edge_streams", map[string]float64{"idle": 1})
	check("datastream_edge_paths", nil)
	s.attach(&tunnel.Hello{})
	s.desire(&tunnel.Desired{Action: tunnel.Start})
	check("datastream_edge_streams", map[string]float64{"connecting": 1})
	check("datastream_edge_paths", map[string]float64{"free": 1})
	s.close()
	check("datastream_edge_streams", nil)
}

// What is counted adds up: what came was sent, dropped, or waits.
func TestUnitsAddUp(t *testing.T) {
	reg := prometheus.NewRegistry()
	cfg := v1alpha1.NewDefaultEdgeDataStream()
	cfg.Queue.Bytes = 64 << 10
	cfg.Congestion.Enable = false
	s := newStream(tunnel.StreamKey{}, target("test://"), cfg, nil, NewMetrics(reg))
	s.attach(&tunnel.Hello{})
	s.desire(&tunnel.Desired{Action: tunnel.Start})
	session, _ := s.begin(context.Background())
	session.Tracks([]media.Track{{ID: 0, Kind: media.Video}, {ID: 1, Kind: media.Audio}}, nil)
	const units, size = 200, 1000
	for i := range units {
		session.Unit(&media.AccessUnit{Track: uint8(i % 2), RandomAccess: i%20 == 0 || i%2 == 1, Payload: make([]byte, size)})
		if i%4 == 0 {
			s.take(time.Now())
		}
	}
	sum := func(name string) (total float64) {
		for _, v := range gathered(t, reg, name) {
			total += v
		}
		return total
	}
	came, sent, dropped := sum("datastream_edge_received_units_total"), sum("datastream_edge_sent_units_total"), sum("datastream_edge_dropped_units_total")
	waits := sum("datastream_edge_queue_units")
	if came != units || dropped == 0 || sent == 0 || sent+dropped+waits != units {
		t.Errorf("%v came, %v sent, %v dropped, %v wait", came, sent, dropped, waits)
	}
	if bytes := sum("datastream_edge_queue_bytes"); bytes != waits*size {
		t.Errorf("%v units of %d bytes wait, that is %v bytes", waits, size, bytes)
	}
	s.close()
	if sum("datastream_edge_queue_units") != 0 || sum("datastream_edge_queue_bytes") != 0 {
		t.Error("a closed stream's units wait")
	}
}

// The node's certificate is the one that the next dial shows, renewed or not, and none while there is none.
func TestNodeCertificate(t *testing.T) {
	ca, err := pki.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	cfg := nodeFiles(t, ca)
	reg := prometheus.NewRegistry()
	reg.MustRegister(newCertificates(cfg))
	for _, days := range []int{2, 300} {
		template := pki.Node(testNode)
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, days)
		pair, err := ca.Issue(template)
		if err := errors.Join(err, pair.Write(cfg.CertFile, cfg.KeyFile)); err != nil {
			t.Fatal(err)
		}
		got := gathered(t, reg, "datastream_edge_certificate_expiration_timestamp_seconds")
		if want := map[string]float64{useNode: float64(template.NotAfter.Unix())}; !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if err := os.Remove(cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	if got := gathered(t, reg, "datastream_edge_certificate_expiration_timestamp_seconds"); len(got) > 0 {
		t.Errorf("%v without a key", got)
	}
}

func TestMetricsServer(t *testing.T) {
	reg := prometheus.NewRegistry()
	NewMetrics(reg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- (&metricsServer{gatherer: reg}).serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(method, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get("GET", "/metrics"); code != 200 || !strings.Contains(body, "\ndatastream_edge_streams{") {
		t.Errorf("metrics: %d %.200s", code, body)
	}
	for _, other := range []string{"GET /", "GET /debug/pprof/", "GET /metrics/x", "POST /metrics"} {
		method, path, _ := strings.Cut(other, " ")
		if code, _ := get(method, path); !slices.Contains([]int{404, 405}, code) {
			t.Errorf("%s: %d", other, code)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A port that is taken is no reason to end, and one is enough to say it.
func TestMetricsServerWithoutPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&metricsServer{listen: l.Addr().String(), gatherer: prometheus.NewRegistry()}).run(ctx)
	}()
	cancel()
	<-ended
}

func TestReceivedAllocatesNothing(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	if n := testing.AllocsPerRun(100, func() {
		m.received(media.Video, 1000)
		m.sent(media.Audio, 1000)
		m.dropped(dropTail, media.Video)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
