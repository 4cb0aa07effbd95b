// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/kubeedge/datastream/tests/camera"
)

// metricDoc is what docs/metrics.md says of a metric.
type metricDoc struct {
	kind   string
	labels map[string][]string // values by label; none: not listed
}

var (
	metricRow   = regexp.MustCompile("^\\| `(datastream_[a-z_]+)` \\| (gauge|counter|histogram) \\| ?([^|]*)\\|")
	metricLabel = regexp.MustCompile("`([a-z_]+)`(?:: ([^;`]*))?")
)

// Labels whose values the document gives once for all.
var (
	outputs      = []string{"mp4", "mse", "ts"}
	streamLabels = []string{"namespace", "rule", "node", "path"}
)

// documented reads docs/metrics.md.
func documented(t *testing.T) map[string]metricDoc {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := make(map[string]metricDoc)
	for line := range strings.Lines(string(text)) {
		row := metricRow.FindStringSubmatch(line)
		if row == nil {
			continue
		}
		if _, twice := docs[row[1]]; twice {
			t.Errorf("%s is documented twice", row[1])
		}
		d := metricDoc{row[2], make(map[string][]string)}
		for _, label := range metricLabel.FindAllStringSubmatch(row[3], -1) {
			d.labels[label[1]] = nil
			if label[2] != "" && label[2] != "as above" {
				d.labels[label[1]] = strings.Split(strings.TrimSpace(label[2]), ", ")
			}
		}
		if _, ok := d.labels["output"]; ok {
			d.labels["output"] = outputs
		}
		if strings.HasPrefix(row[1], "datastream_stream_") {
			for _, label := range streamLabels {
				d.labels[label] = nil
			}
		}
		docs[row[1]] = d
	}
	return docs
}

// scrape reads GET /metrics at address, and has promtool look at it if there is one.
func scrape(t *testing.T, address string) map[string]*dto.MetricFamily {
	t.Helper()
	code, _, body := request(t, http.MethodGet, "http://"+address+"/metrics", "")
	if code != http.StatusOK {
		t.Fatalf("metrics of %s: %d %s", address, code, body)
	}
	var parser expfmt.TextParser
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("metrics of %s: %v", address, err)
	}
	return families
}

// lint has promtool look at the metrics of address.
func lint(t *testing.T, address string) {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not installed, the metrics' names are not checked")
		return
	}
	_, _, body := request(t, http.MethodGet, "http://"+address+"/metrics", "")
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = bytes.NewReader(body)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics of %s: %v\n%s", address, err, out)
	}
}

// check compares what is exported with what is documented.
func (d *metricDoc) check(t *testing.T, family *dto.MetricFamily) {
	t.Helper()
	name := family.GetName()
	if kind := strings.ToLower(family.GetType().String()); kind != d.kind {
		t.Errorf("%s is a %s, documented as a %s", name, kind, d.kind)
	}
	if family.GetHelp() == "" {
		t.Errorf("%s has no help", name)
	}
	want := slices.Sorted(maps.Keys(d.labels))
	for _, metric := range family.GetMetric() {
		var labels []string
		for _, label := range metric.GetLabel() {
			labels = append(labels, label.GetName())
			values := d.labels[label.GetName()]
			if values != nil && !slices.Contains(values, label.GetValue()) {
				t.Errorf("%s has %s=%q, which is not documented", name, label.GetName(), label.GetValue())
			}
		}
		slices.Sort(labels)
		if !slices.Equal(labels, want) {
			t.Errorf("%s has the labels %q, documented are %q", name, labels, want)
		}
	}
}

// value sums the metrics of a family that have these labels, given as name=value: numbers, or how often a histogram has observed.
func value(families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		has := make(map[string]bool)
		for _, l := range m.GetLabel() {
			has[l.GetName()+"="+l.GetValue()] = true
		}
		if !slices.ContainsFunc(labels, func(l string) bool { return !has[l] }) {
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// Everything that docs/metrics.md lists is exported, nothing else is, and after some frames it says what has happened.
func TestMetrics(t *testing.T) {
	cam := startCamera(t, camera.Config{})
	stream := applyRule(t, "metrics", cam.URL())
	waitState(t, stream, "idle")
	before := scrape(t, cluster.Viewers)
	viewers := make([]*viewer, 0, len(formats))
	for _, format := range formats {
		viewers = append(viewers, watch(t, stream, format))
	}
	for _, v := range viewers {
		v.wait("60 frames", func(f []frame) bool { return len(f) >= 60 })
	}
	var cloud, edge map[string]*dto.MetricFamily
	eventually(t, "what is measured once in a while", func() bool {
		cloud, edge = scrape(t, cluster.Viewers), scrape(t, cluster.EdgeMetrics)
		return value(cloud, "datastream_cloud_tunnel_rtt_seconds") > value(before, "datastream_cloud_tunnel_rtt_seconds") &&
			value(edge, "datastream_edge_tunnel_rtt_seconds") > 0 &&
			!slices.ContainsFunc(outputs, func(o string) bool {
				const latency = "datastream_output_fanout_latency_seconds"
				return value(cloud, latency, "output="+o) == value(before, latency, "output="+o)
			})
	})
	lint(t, cluster.Viewers)
	lint(t, cluster.EdgeMetrics)

	docs := documented(t)
	for where, families := range map[string]map[string]*dto.MetricFamily{"cloud": cloud, "edge": edge} {
		series := 0
		for name, family := range families {
			if !strings.HasPrefix(name, "datastream_") {
				continue
			}
			if !strings.HasPrefix(name, "datastream_stream_") {
				series += len(family.GetMetric())
			}
			d, ok := docs[name]
			if !ok {
				t.Errorf("%s is exported by the %s, and not in docs/metrics.md", name, where)
				continue
			}
			d.check(t, family)
		}
		if series > 250 {
			t.Errorf("the %s exports %d series for one stream", where, series)
		}
		for _, name := range []string{"go_goroutines", "process_open_fds", "datastream_build_info"} {
			if families[name] == nil {
				t.Errorf("the %s does not export %s", where, name)
			}
		}
	}
	for name := range docs {
		if cloud[name] == nil && edge[name] == nil {
			t.Errorf("%s is documented, and nobody exports it", name)
		}
	}

	const me = "rule=metrics"
	at := func(families map[string]*dto.MetricFamily, least, most float64, name string, labels ...string) {
		t.Helper()
		if v := value(families, name, labels...); v < least || v > most {
			t.Errorf("%s%q is %v, want %v to %v", name, labels, v, least, most)
		}
	}
	const many = 1e9
	far := patience.Seconds() // off any other unit's scale
	at(cloud, 1, many, "datastream_cloud_streams", "state=streaming")
	at(cloud, 1, many, "datastream_cloud_tunnels")
	at(cloud, 60, many, "datastream_cloud_received_units_total", "kind=video")
	at(cloud, 10000, many, "datastream_cloud_received_bytes_total", "kind=video")
	at(cloud, 60, many, "datastream_cloud_capture_latency_seconds")
	at(cloud, 1, many, "datastream_cloud_gop_bytes")
	for _, name := range outputs {
		output := "output=" + name
		at(cloud, 1, many, "datastream_cloud_viewers", output)
		at(cloud, 60, many, "datastream_output_written_units_total", output)
		at(cloud, 10000, many, "datastream_output_written_bytes_total", output)
		at(cloud, 1, many, "datastream_output_buffered_bytes", output)
		first := value(cloud, "datastream_output_first_picture_seconds", output) - value(before, "datastream_output_first_picture_seconds", output)
		if first != 1 {
			t.Errorf("%s: the first picture was measured %v times, want once", name, first)
		}
	}
	at(cloud, 1, 1, "datastream_stream_state", me, "state=streaming")
	at(cloud, 1, 1, "datastream_stream_state", me)
	at(cloud, 1, 1, "datastream_stream_wanted", me)
	at(cloud, 3, 3, "datastream_stream_viewers", me)
	at(cloud, 1, 1, "datastream_stream_tunnel_connects_total", me)
	at(cloud, 60, many, "datastream_stream_received_units_total", me)
	at(cloud, 0, far, "datastream_stream_last_unit_age_seconds", me)
	at(cloud, 0, far, "datastream_stream_capture_latency_seconds", me)
	at(cloud, -far, far, "datastream_stream_clock_offset_seconds", me) // the clocks are one
	at(cloud, 1e-6, far, "datastream_stream_tunnel_rtt_seconds", me)
	at(cloud, 0, 0, "datastream_cloud_unlisted_streams")
	at(edge, 1, many, "datastream_edge_streams", "state=streaming")
	at(edge, 60, many, "datastream_edge_received_units_total", "kind=video")
	at(edge, 60, many, "datastream_edge_sent_units_total", "kind=video")
	at(edge, 10000, many, "datastream_edge_sent_bytes_total", "kind=video")
	at(edge, 60, many, "datastream_edge_queue_delay_seconds")
	at(edge, 1, many, "datastream_edge_paths")
	at(edge, 1, many, "datastream_edge_gop_bytes")
	at(edge, 1, many, "datastream_edge_tunnel_dials_total", "result=connected")
	at(edge, 1, many, "datastream_edge_source_sessions")
	at(edge, 1, many, "datastream_edge_source_start_seconds")
}

// A camera that fails is counted on both sides, by the reason.
func TestMetricsOfFailures(t *testing.T) {
	count := func() (cloud, edge float64) {
		reason := "reason=ConnectionRefused"
		return value(scrape(t, cluster.Viewers), "datastream_cloud_stream_failures_total", reason),
			value(scrape(t, cluster.EdgeMetrics), "datastream_edge_source_errors_total", reason)
	}
	cloud, edge := count()
	cam := startCamera(t, camera.Config{})
	url := cam.URL()
	cam.Close()
	stream := applyRule(t, "metrics-failure", url)
	waitState(t, stream, "idle")
	control(t, stream, "start")
	waitState(t, stream, "failed")
	eventually(t, "a reconnect", func() bool {
		return value(scrape(t, cluster.EdgeMetrics), "datastream_edge_source_reconnects_total") > 0
	})
	if c, e := count(); c <= cloud || e <= edge {
		t.Errorf("failures were %v and %v, are %v and %v", cloud, edge, c, e)
	}
	families := scrape(t, cluster.Viewers)
	if n := value(families, "datastream_stream_failures_total", "rule=metrics-failure"); n < 1 {
		t.Errorf("the stream's own failures are %v", n)
	}
}
