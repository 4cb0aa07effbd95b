// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFormat(t *testing.T) {
	for _, tc := range []struct {
		value float64
		unit  string
		want  string
	}{
		{0, "s", "0 s"}, {0.0000125, "s", "12.5 µs"}, {0.25, "s", "250 ms"}, {2.5, "s", "2.5 s"}, {600, "s", "10 min"},
		{1536, "bytes", "1.5 KiB"}, {1.5e6, "bps", "1.5 Mb/s"}, {-3, "cpm", "-3 /min"}, {12345, "short", "12.3 K"}, {13.5, "d", "13.5 d"}, {7, "", "7"},
	} {
		if got := format(tc.value, tc.unit); got != tc.want {
			t.Errorf("%v in %q is %q, want %q", tc.value, tc.unit, got, tc.want)
		}
	}
	if got := ticks(0, 9.3, 4, "s"); !slices.Equal(got, []float64{0, 5}) {
		t.Errorf("ticks %v", got)
	}
	if got := ticks(0, 5000, 4, "bytes"); !slices.Equal(got, []float64{0, 2048, 4096}) {
		t.Errorf("ticks of bytes %v", got)
	}
}

// TestLoadIsStrict changes single words of the dashboard.
func TestLoadIsStrict(t *testing.T) {
	const dashboard = "../../../build/manifests/monitoring/dashboard.json"
	data, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	for was, is := range map[string]string{
		`"schemaVersion"`: `"schemaversion2"`, `"legendFormat"`: `"legend"`, `"graphMode"`: `"graphmode2"`, `"type": "heatmap"`: `"type": "graph"`,
	} {
		file := filepath.Join(t.TempDir(), "dashboard.json")
		if err := os.WriteFile(file, []byte(strings.Replace(string(data), was, is, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil {
			t.Errorf("%s in place of %s is no error", is, was)
		}
	}
}

// TestPage draws the dashboard with a Prometheus that has one series for everything, and with one that has none.
func TestPage(t *testing.T) {
	d, err := Load("../../../build/manifests/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	for result, want := range map[string]string{
		`[{"metric":{"le":"0.5","node":"<b>"},"value":[1700000030,"2"],"values":[[1700000000,"1"],[1700000030,"NaN"],[1700000060,"2"]]}]`: "<polyline",
		`[]`: "No data",
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"status":"success","data":{"result":` + result + `}}`))
		}))
		from := time.Unix(1700000000, 0)
		page, height, err := d.Page(t.Context(), Prometheus(srv.URL), from, from.Add(time.Minute), 10*time.Second, "1m")
		srv.Close()
		if err != nil {
			t.Fatal(err)
		}
		if height < 1000 || !strings.Contains(page, want) || strings.Contains(page, "<b>\"") || strings.Contains(page, "%!") {
			t.Errorf("a page of height %d without %s, or with what is no HTML: %.4000s", height, want, page)
		}
	}
}
