// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/monitoring/render"
	"github.com/kubeedge/datastream/tests/ports"
)

// scrapeInterval is also how long a scrape may take. rateInterval stands for Grafana's $__rate_interval, which is a few times as long.
const scrapeInterval, rateInterval = "5s", "30s"

// empty are queries that rightly return nothing here, by panel and query.
var empty = map[string]string{}

// states are the alerts that do not stay inactive under TestPrometheus' load, with the states that they may be in.
var states = map[string][]string{
	"DatastreamStreamFailed":         {"pending"},             // roof: its password is wrong; for 10m
	"DatastreamCameraAuthentication": {"firing"},              // roof
	"DatastreamNodeAway":             {"pending"},             // edge-2 is not there
	"DatastreamAssignmentOutOfDate":  {"pending"},             // so it does not take its rule
	"DatastreamStreamStalled":        {"inactive", "pending"}, // roof, while its viewer waits
	"DatastreamViewersSkip":          {"inactive", "pending"},
	"DatastreamTunnelsRefused":       {"firing"}, // the intruder
	"DatastreamViewersRefused":       {"inactive", "firing"},

	// For 10m or longer, if this machine is slow.
	"DatastreamCaptureLatencyHigh": {"inactive", "pending"},
	"DatastreamEdgeDrops":          {"inactive", "pending"},
	"DatastreamFanoutLatencyHigh":  {"inactive", "pending"},
	"DatastreamFirstPictureSlow":   {"inactive", "pending"},
	"DatastreamGaps":               {"inactive", "pending"},
	"DatastreamStreamsCongested":   {"inactive", "pending"},
}

// TestPrometheus has a real Prometheus scrape a real cloud and a real edge under some load, asks it all that the dashboard would ask, and
// looks at the alerts. With -screenshot it draws the dashboard at the end.
func TestPrometheus(t *testing.T) {
	prometheus := startPrometheus(t)
	startLoad(t)
	d := loadDashboard(t)
	t.Run("alerts", func(t *testing.T) { checkAlerts(t, prometheus) })
	t.Run("dashboard", func(t *testing.T) { checkQueries(t, prometheus, d) })
	if *screenshot != "" {
		draw(t, prometheus, d)
	}
}

// startLoad starts cameras, one of which refuses its credentials, viewers, some of whom are slow, and an intruder.
func startLoad(t *testing.T) {
	t.Helper()
	audience := newAudience(t)
	clip := func(name string) *camera.Clip {
		c, err := camera.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	yard := applyRule(t, "yard", node, startCamera(t, camera.Config{}).URL())
	gate := applyRule(t, "gate", node, startCamera(t, camera.Config{Clip: clip(camera.ClockBFrame)}).URL())
	dock := applyRule(t, "dock", node, startCamera(t, camera.Config{Clip: clip(camera.ClockH265)}).URL())
	roof := applyRule(t, "roof", node, startCamera(t, camera.Config{Username: "user", Password: password}).URL())
	applyRule(t, "hall", node, startCamera(t, camera.Config{}).URL()) // nobody watches it
	applyRule(t, "barn", "edge-2", "rtsp://127.0.0.1:1/stream")       // whose edge is not there
	audience.watch(yard, "mp4", 4)
	audience.watch(yard, "mse", 3)
	audience.watch(gate, "ts", 3)
	audience.watch(gate, "mp4", 2)
	audience.watch(dock, "mse", 2)
	audience.watch(roof, "mp4", 1)
	audience.visit(gate+"?format=mp4", 2)
	audience.intrude(t, yard)
	audience.slow(yard, 4<<10)
	audience.slow(yard+"?format=ts", 6<<10)
}

// startPrometheus starts one that scrapes this process and has our alerts. It ends with the test.
func startPrometheus(t *testing.T) render.Prometheus {
	t.Helper()
	path, dir := program(t, "prometheus"), t.TempDir()
	rules, err := filepath.Abs(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
global: {scrape_interval: %s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
- {job_name: cloudcore-datastream, static_configs: [{targets: [%q]}]}
- {job_name: edgecore-datastream, static_configs: [{targets: [%q]}]}
`, scrapeInterval, rules, cluster.Viewers, edgeMetrics)
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address, err := ports.Free("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus' log: %s", log.String())
		}
	})
	prometheus := render.Prometheus("http://" + address)
	eventually(t, "Prometheus to scrape both ends", func() bool {
		up, err := prometheus.Query(t.Context(), "up == 1")
		return err == nil && len(up) == 2
	})
	return prometheus
}

// checkQueries asks all that the dashboard asks, until there is an answer to everything.
func checkQueries(t *testing.T, prometheus render.Prometheus, d *render.Dashboard) {
	type query struct{ name, expr string }
	var missing []query
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			missing = append(missing, query{p.Title + " " + q.RefID, d.Expand(q.Expr, rateInterval)})
		}
	}
	total := len(missing)
	answered := func(q query) bool {
		series, err := prometheus.Query(t.Context(), q.expr)
		if err != nil {
			t.Fatal(err)
		}
		if why, known := empty[q.name]; known && len(series) > 0 {
			t.Errorf("%s is not empty, though %s", q.name, why)
		} else if known {
			return true
		}
		return len(series) > 0
	}
	deadline := time.Now().Add(patience)
	for len(missing) > 0 && time.Now().Before(deadline) {
		missing = slices.DeleteFunc(missing, answered)
		time.Sleep(time.Second) // Prometheus scrapes again
	}
	for _, q := range missing {
		t.Errorf("%s is empty: %s", q.name, q.expr)
	}
	t.Logf("%d queries, %d known to be empty", total, len(empty))
}

// checkAlerts looks at the rules as Prometheus has loaded them, until each is in a state that is expected.
func checkAlerts(t *testing.T, prometheus render.Prometheus) {
	var wrong []string
	look := func() bool {
		var data struct {
			Groups []struct {
				Rules []struct {
					Name, State, Health, LastError string
				} `json:"rules"`
			} `json:"groups"`
		}
		if err := prometheus.Get(t.Context(), "/api/v1/rules", &data); err != nil {
			t.Fatal(err)
		}
		wrong = nil
		n := 0
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				n++
				want := states[r.Name]
				if want == nil {
					want = []string{"inactive"}
				}
				if r.Health != "ok" || !slices.Contains(want, r.State) {
					wrong = append(wrong, fmt.Sprintf("%s is %s (%s) %s, want %s", r.Name, r.State, r.Health, r.LastError, strings.Join(want, " or ")))
				}
			}
		}
		if _, alerts := loadAlerts(t); n != len(alerts) {
			wrong = append(wrong, fmt.Sprintf("%d rules are loaded, want %d", n, len(alerts)))
		}
		return len(wrong) == 0
	}
	for deadline := time.Now().Add(patience); !look(); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v:\n%s", patience, strings.Join(wrong, "\n"))
		}
	}
}
