// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kubeedge/datastream/tests/monitoring/render"
)

const (
	manifests     = "../../build/manifests/monitoring/"
	dashboardFile = manifests + "dashboard.json"
	alertsFile    = manifests + "alerts.yaml"
)

func loadDashboard(t *testing.T) *render.Dashboard {
	t.Helper()
	d, err := render.Load(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// alert is what tests ask of a rule in alerts.yaml.
type alert struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type group struct {
	Name  string  `json:"name"`
	Rules []alert `json:"rules"`
}

func loadAlerts(t *testing.T) (groups []group, all []alert) {
	t.Helper()
	var file struct {
		Groups []group `json:"groups"`
	}
	readYAML(t, alertsFile, &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return file.Groups, all
}

func TestDashboard(t *testing.T) {
	d := loadDashboard(t)
	if d.Title == "" || d.UID == "" || d.ID != nil || d.SchemaVersion != 39 {
		t.Errorf("title %q, uid %q, id %v, schema version %d", d.Title, d.UID, d.ID, d.SchemaVersion)
	}
	const source = "${datasource}"
	variables := map[string]bool{}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		if v.Type == "query" && (v.DataSource == nil || v.DataSource.UID != source) {
			t.Errorf("variable %s does not ask the chosen data source", v.Name)
		}
	}
	if !variables["datasource"] {
		t.Error("no data source can be chosen")
	}
	ids, titles := map[int]string{}, map[string]bool{}
	var cells [24][]string // of the grid, by column
	for _, p := range d.Panels {
		if other, taken := ids[p.ID]; taken {
			t.Errorf("panels %q and %q have the id %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		g := p.GridPos
		if g.X < 0 || g.W < 1 || g.H < 1 || g.Y < 0 || g.X+g.W > 24 {
			t.Errorf("panel %q is outside of the grid", p.Title)
			continue
		}
		for x := g.X; x < g.X+g.W; x++ {
			for len(cells[x]) < g.Y+g.H {
				cells[x] = append(cells[x], "")
			}
			for y := g.Y; y < g.Y+g.H; y++ {
				if cells[x][y] != "" {
					t.Fatalf("panels %q and %q overlap", p.Title, cells[x][y])
				}
				cells[x][y] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if titles[p.Title] && p.Title != "Viewers" {
			t.Errorf("two panels are called %q", p.Title)
		}
		titles[p.Title] = true
		if p.DataSource == nil || p.DataSource.UID != source || len(p.Targets) == 0 {
			t.Errorf("panel %q does not ask the chosen data source", p.Title)
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if q.DataSource.UID != source || refs[q.RefID] || q.RefID == "" || q.Instant == q.Range {
				t.Errorf("panel %q, query %q: data source %q, or another one of that name, or neither instant nor range", p.Title, q.RefID, q.DataSource.UID)
			}
			refs[q.RefID] = true
			for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(q.Expr, -1) {
				if !variables[m[1]] && m[1] != "__rate_interval" {
					t.Errorf("panel %q: there is no variable %s", p.Title, m[1])
				}
			}
		}
	}
}

var metricName = regexp.MustCompile(`\b(datastream_[a-z_]+[a-z])`)

// TestMetricsAreDocumented looks for each metric that the dashboard and the alerts ask for in docs/metrics.md.
func TestMetricsAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	row := regexp.MustCompile("(?m)^\\| `(datastream_[a-z_]+)` \\| (\\w+)")
	for _, m := range row.FindAllStringSubmatch(string(read(t, "../../docs/metrics.md")), -1) {
		documented[m[1]] = true
		if m[2] == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				documented[m[1]+suffix] = true
			}
		}
	}
	for _, file := range []string{dashboardFile, alertsFile, manifests + "alerts_test.yaml"} {
		asked := map[string]bool{}
		for _, m := range metricName.FindAllString(string(read(t, file)), -1) {
			asked[m] = true
		}
		if len(asked) < 15 {
			t.Errorf("%s asks for %d metrics only: does this test see them?", file, len(asked))
		}
		for _, name := range slices.Sorted(maps.Keys(asked)) {
			if !documented[name] {
				t.Errorf("%s asks for %s, which docs/metrics.md does not have", file, name)
			}
		}
	}
}

// TestAlerts looks for each alert's runbook, and for a case in which it fires and one in which it does not.
func TestAlerts(t *testing.T) {
	_, alerts := loadAlerts(t)
	runbooks := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (Datastream\w+)$`).FindAllStringSubmatch(string(read(t, "../../docs/monitoring.md")), -1) {
		runbooks[m[1]] = true
	}
	cases := string(read(t, manifests+"alerts_test.yaml"))
	alone := maps.Clone(runbooks)
	for _, a := range alerts {
		if !runbooks[a.Alert] {
			t.Errorf("%s: docs/monitoring.md has no runbook", a.Alert)
		}
		delete(alone, a.Alert) // a name may have two severities
		if want := "https://github.com/kubeedge/datastream/blob/main/docs/monitoring.md#" + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q", a.Alert, a.Annotations["runbook_url"])
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s has no summary or description", a.Alert)
		}
		if s := a.Labels["severity"]; s != "critical" && s != "warning" && s != "info" {
			t.Errorf("%s: severity %q", a.Alert, s)
		}
		for _, name := range []string{`"` + a.Alert + ": ", `"not ` + a.Alert + ": "} {
			if !strings.Contains(cases, "- name: "+name) {
				t.Errorf("alerts_test.yaml has no case %s…", name)
			}
		}
	}
	for name := range alone {
		t.Errorf("docs/monitoring.md has a runbook for %s, which is no alert", name)
	}
}

// TestOperator compares what the Prometheus operator gets with its source.
func TestOperator(t *testing.T) {
	var rule struct {
		Spec struct {
			Groups []group `json:"groups"`
		} `json:"spec"`
	}
	readYAML(t, manifests+"operator/prometheusrule.yaml", &rule)
	if groups, _ := loadAlerts(t); !reflect.DeepEqual(rule.Spec.Groups, groups) {
		t.Error("operator/prometheusrule.yaml is not alerts.yaml: run make monitoring-generate")
	}
}

// TestPromtool has promtool check the alerts, their cases, the example of a configuration and each query of the dashboard.
func TestPromtool(t *testing.T) {
	promtool := program(t, "promtool")
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("check", "rules", alertsFile)
	run("test", "rules", manifests+"alerts_test.yaml")
	run("check", "config", "--syntax-only", manifests+"prometheus.yaml")

	d := loadDashboard(t)
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	n := 0
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			fmt.Fprintf(&rules, "  - {record: panel_%d_%s, expr: %q}\n", p.ID, q.RefID, d.Expand(q.Expr, "1m"))
			n++
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	run("check", "rules", file)
	t.Logf("%d queries", n)
}

// program finds a program of Prometheus, or skips the test where it need not be there.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("REQUIRE_PROMETHEUS") != "" {
			t.Fatal(err)
		}
		t.Skipf("%s is not installed (Debian: prometheus)", name)
	}
	return path
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.Unmarshal(read(t, file), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
