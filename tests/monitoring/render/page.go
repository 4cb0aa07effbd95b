// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"context"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// Width of the page and height of one unit of the grid, in pixels.
	Width, unitHeight = 1680, 34
	gap, titleHeight  = 8, 30
)

const style = `<style>
body{margin:0;background:#111217;color:#ccccdc;font:13px Inter,"DejaVu Sans",Helvetica,Arial,sans-serif}
header{padding:10px 16px;height:34px}header b{font-size:18px;margin-right:14px}header span{color:#8e8e9e}
.panel{position:absolute;background:#181b1f;border:1px solid #2c2f36;border-radius:3px;overflow:hidden}
.panel h2{font-size:13px;font-weight:500;margin:0;padding:5px 9px;height:14px}
.row{position:absolute;font-size:15px;font-weight:600;padding-top:7px}
.grid{stroke:#2c2f36}.tick{fill:#9a9aab;font-size:10.5px}.none{fill:#6e6e80;font-size:14px}
table{border-collapse:collapse;width:100%;font-size:12px}td,th{text-align:left;padding:4px 9px;border-top:1px solid #2c2f36}th{color:#6e9fff;font-weight:500}
</style>`

// Page is the dashboard as HTML with what Prometheus knows from one time to another, and its height in pixels.
func (d *Dashboard) Page(ctx context.Context, prometheus Prometheus, from, to time.Time, step time.Duration, rateInterval string) (page string, height int, err error) {
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html><meta charset="utf-8"><title>%s</title>%s<header><b>%[1]s</b><span>%[3]s to %s UTC. Drawn from dashboard.json by tests/monitoring/render; Grafana draws it its own way.</span></header>`,
		html.EscapeString(d.Title), style, from.UTC().Format("2006-01-02 15:04:05"), to.UTC().Format("15:04:05"))
	const header, column = 54, float64(Width-gap) / 24
	for i := range d.Panels {
		p := &d.Panels[i]
		x, y := gap+column*float64(p.GridPos.X), header+unitHeight*p.GridPos.Y
		w, h := column*float64(p.GridPos.W)-gap, unitHeight*p.GridPos.H-gap
		height = max(height, y+h+gap)
		if p.Type == "row" {
			fmt.Fprintf(&b, `<div class="row" style="left:%.0fpx;top:%dpx">%s</div>`, x, y, html.EscapeString(p.Title))
			continue
		}
		body, err := d.draw(ctx, prometheus, p, from, to, step, rateInterval, w, float64(h-titleHeight))
		if err != nil {
			return "", 0, fmt.Errorf("panel %q: %w", p.Title, err)
		}
		fmt.Fprintf(&b, `<div class="panel" style="left:%.0fpx;top:%dpx;width:%.0fpx;height:%dpx"><h2>%s</h2>%s</div>`, x, y, w, h, html.EscapeString(p.Title), body)
	}
	return b.String(), height, nil
}

func (d *Dashboard) draw(ctx context.Context, prometheus Prometheus, p *Panel, from, to time.Time, step time.Duration, rateInterval string, w, h float64) (string, error) {
	if p.Type == "table" {
		return d.table(ctx, prometheus, p, rateInterval)
	}
	var lines []line
	for i := range p.Targets {
		t := &p.Targets[i]
		series, err := prometheus.QueryRange(ctx, d.Expand(t.Expr, rateInterval), from, to, step)
		if err != nil {
			return "", err
		}
		for _, s := range series {
			lines = append(lines, line{t.name(&s), s.Values})
		}
	}
	switch p.Type {
	case "stat":
		return p.stat(lines, from, to, w, h), nil
	case "heatmap":
		return p.heatmap(lines, from, to, step, w, h), nil
	default:
		return p.timeseries(lines, from, to, step, w, h), nil
	}
}

// table draws what several queries say of the same labels as one row, which is what the transformations merge and organize make of it.
func (d *Dashboard) table(ctx context.Context, prometheus Prometheus, p *Panel, rateInterval string) (string, error) {
	rows, columns := make(map[string]map[string]string), make(map[string]bool)
	for i := range p.Targets {
		t := &p.Targets[i]
		series, err := prometheus.Query(ctx, d.Expand(t.Expr, rateInterval))
		if err != nil {
			return "", err
		}
		for _, s := range series {
			var key strings.Builder
			for _, k := range []string{"namespace", "rule", "node", "path"} {
				key.WriteString(s.Labels[k] + "\x00")
			}
			row := rows[key.String()]
			if row == nil {
				row = make(map[string]string)
				rows[key.String()] = row
			}
			maps.Copy(row, s.Labels)
			row["Value #"+t.RefID] = format(s.Value.Value, p.unit("Value #"+t.RefID))
			for k := range row {
				columns[k] = true
			}
		}
	}
	organize := p.Transformations[len(p.Transformations)-1].Options
	names := slices.DeleteFunc(slices.Collect(maps.Keys(columns)), func(c string) bool { return organize.ExcludeByName[c] })
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(organize.IndexByName[a], organize.IndexByName[b]) })
	var b strings.Builder
	b.WriteString("<table><tr>")
	for _, c := range names {
		fmt.Fprintf(&b, "<th>%s</th>", html.EscapeString(organize.RenameByName[c]))
	}
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		b.WriteString("</tr><tr>")
		for _, c := range names {
			fmt.Fprintf(&b, "<td>%s</td>", html.EscapeString(rows[key][c]))
		}
	}
	b.WriteString("</tr></table>")
	return b.String(), nil
}

// unit is that of a table's column, which overrides give by its new name.
func (p *Panel) unit(column string) string {
	name := p.Transformations[len(p.Transformations)-1].Options.RenameByName[column]
	return p.FieldConfig.property(name, "unit").Unit
}
