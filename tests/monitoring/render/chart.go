// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// palette is for series, in their order.
var palette = [...]string{"#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#37872d", "#fade2a", "#1f60c4", "#fa6400", "#c4162a", "#8f3bb8"}

var colours = map[string]string{"green": "#73bf69", "yellow": "#f2cc0c", "blue": "#5794f2", "orange": "#ff9830", "red": "#f2495c", "purple": "#b877d9"}

// colour is that of the series of this name, or the next of the palette.
func (p *Panel) colour(name string, i int) string {
	return cmp.Or(colours[p.FieldConfig.property(name, "color").FixedColor], palette[i%len(palette)])
}

// line is a series with the name that its legend has.
type line struct {
	name   string
	values []Point
}

var placeholder = regexp.MustCompile(`{{\s*(\w+)\s*}}`)

// name is what a legend says of a series.
func (t *Target) name(s *Series) string {
	if t.LegendFormat != "__auto" {
		return placeholder.ReplaceAllStringFunc(t.LegendFormat, func(m string) string { return s.Labels[placeholder.FindStringSubmatch(m)[1]] })
	}
	var labels []string
	for k, v := range s.Labels {
		labels = append(labels, k+"="+v)
	}
	slices.Sort(labels)
	return strings.Join(labels, ", ")
}

// frame is a plane with axes: x is time, y values.
type frame struct {
	strings.Builder
	w, h      float64
	from, to  time.Time
	low, high float64
}

const (
	marginLeft, marginRight, marginTop, marginBottom = 62, 10, 8, 20
)

func (f *frame) x(t time.Time) float64 {
	return marginLeft + float64(t.Sub(f.from))/float64(f.to.Sub(f.from))*(f.w-marginLeft-marginRight)
}

func (f *frame) y(v float64) float64 {
	return f.h - marginBottom - (v-f.low)/(f.high-f.low)*(f.h-marginTop-marginBottom)
}

func (f *frame) axes(unit string) {
	for _, v := range ticks(f.low, f.high, 4, unit) {
		fmt.Fprintf(f, `<line x1="%d" x2="%.0f" y1="%.1f" y2="%.1[3]f" class="grid"/><text x="%d" y="%.1f" class="tick" text-anchor="end">%s</text>`,
			marginLeft, f.w-marginRight, f.y(v), marginLeft-6, f.y(v)+4, html.EscapeString(format(v, unit)))
	}
	f.times()
}

func (f *frame) times() {
	for i := range 4 {
		at := f.from.Add(f.to.Sub(f.from) * time.Duration(2*i+1) / 8)
		fmt.Fprintf(f, `<text x="%.1f" y="%.1f" class="tick" text-anchor="middle">%s</text>`, f.x(at), f.h-4, at.UTC().Format("15:04:05"))
	}
}

// timeseries draws lines, or areas on top of each other.
func (p *Panel) timeseries(lines []line, from, to time.Time, step time.Duration, w, h float64) string {
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.name, b.name) })
	stacked := p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal"
	var below map[int64]float64
	if stacked {
		below = make(map[int64]float64)
	}
	low, high := math.Inf(1), math.Inf(-1)
	if p.FieldConfig.Defaults.Min != nil {
		low = *p.FieldConfig.Defaults.Min
	}
	type area struct{ base, top []Point }
	areas := make([]area, len(lines))
	for i, l := range lines {
		for _, v := range finite(l.values) {
			base := v
			base.Value = max(0, low)
			if stacked {
				base.Value = below[v.At.Unix()]
				v.Value += base.Value
				below[v.At.Unix()] = v.Value
			}
			low, high = min(low, v.Value), max(high, v.Value)
			areas[i].base, areas[i].top = append(areas[i].base, base), append(areas[i].top, v)
		}
	}
	if math.IsInf(high, 0) {
		return noData(w, h)
	}
	if low < 0 {
		low *= 1.05
	}
	f := &frame{w: w, h: h - 14*legendRows(lines, w) - belowLegend, from: from, to: to, low: low, high: max(high*1.05, low+1e-9)}
	if high <= low {
		f.high = low + 1
	}
	f.axes(p.FieldConfig.Defaults.Unit)
	for i, a := range areas {
		colour := p.colour(lines[i].name, i)
		for _, part := range parts(a.top, step) {
			var top, bottom strings.Builder
			for i := part[0]; i < part[1]; i++ {
				fmt.Fprintf(&top, "%.1f,%.1f ", f.x(a.top[i].At), f.y(a.top[i].Value))
			}
			for i := part[1] - 1; i >= part[0]; i-- {
				fmt.Fprintf(&bottom, "%.1f,%.1f ", f.x(a.base[i].At), f.y(a.base[i].Value))
			}
			fmt.Fprintf(f, `<polygon points="%s%s" fill="%s" fill-opacity="%.2f"/><polyline points="%s" fill="none" stroke="%[3]s" stroke-width="1.3"/>`,
				top.String(), bottom.String(), colour, p.FieldConfig.Defaults.Custom.FillOpacity/100, top.String())
		}
	}
	if p.FieldConfig.Defaults.Custom.ThresholdsStyle.Mode == "line" {
		for _, s := range p.FieldConfig.Defaults.Thresholds.Steps {
			if s.Value != nil && *s.Value < f.high {
				fmt.Fprintf(f, `<line x1="%d" x2="%.0f" y1="%.1f" y2="%.1[3]f" stroke="%s" stroke-dasharray="4 3"/>`, marginLeft, w-marginRight, f.y(*s.Value), colours[s.Color])
			}
		}
	}
	return svg(w, h, f.String()+p.legend(lines, w, f.h))
}

// parts are the runs of values without a step missing, as first and behind the last index: a line does not span what is not there.
func parts(values []Point, step time.Duration) (runs [][2]int) {
	for i := range values {
		if i == 0 || values[i].At.Sub(values[i-1].At) > step*3/2 {
			runs = append(runs, [2]int{i, i})
		}
		runs[len(runs)-1][1] = i + 1
	}
	return runs
}

// belowLegend is the room for what letters have below their line.
const belowLegend = 6

// legendWidth is the room that one name takes.
func legendWidth(l line) float64 { return 24 + 6.2*float64(len([]rune(l.name))) }

func legendRows(lines []line, w float64) float64 {
	rows, x := 1.0, 8.0
	for _, l := range lines {
		if x+legendWidth(l) > w && x > 8 {
			rows, x = rows+1, 8
		}
		x += legendWidth(l)
	}
	return min(rows, 4)
}

func (p *Panel) legend(lines []line, w, y float64) string {
	var b strings.Builder
	x, row := 8.0, 1
	for i, l := range lines {
		if x+legendWidth(l) > w && x > 8 {
			x, row = 8, row+1
		}
		if row > 4 {
			break
		}
		fmt.Fprintf(&b, `<rect x="%.0f" y="%.0f" width="10" height="4" fill="%s"/><text x="%.0f" y="%.0f" class="tick">%s</text>`,
			x, y+14*float64(row)-7, p.colour(l.name, i), x+14, y+14*float64(row)-1, html.EscapeString(l.name))
		x += legendWidth(l)
	}
	return b.String()
}

// stat draws the newest value over what it was before.
func (p *Panel) stat(lines []line, from, to time.Time, w, h float64) string {
	if len(lines) == 0 || len(finite(lines[0].values)) == 0 {
		return noData(w, h)
	}
	values := finite(lines[0].values)
	last, high := values[len(values)-1].Value, 1e-9
	colour := ""
	for _, s := range p.FieldConfig.Defaults.Thresholds.Steps {
		if s.Value == nil || last >= *s.Value {
			colour = colours[s.Color]
		}
	}
	var points strings.Builder
	for _, v := range values {
		high = max(high, v.Value)
	}
	for _, v := range values {
		fmt.Fprintf(&points, "%.1f,%.1f ", float64(v.At.Sub(from))/float64(to.Sub(from))*w, h-v.Value/high*h*0.4)
	}
	return svg(w, h, fmt.Sprintf(`<polygon points="%.1f,%.0f %s%.1f,%.0[2]f" fill="%[5]s" fill-opacity="0.25"/>
<text x="%.0[6]f" y="%.0[7]f" text-anchor="middle" font-size="34" font-weight="600" fill="%[5]s">%[8]s</text>`,
		float64(values[0].At.Sub(from))/float64(to.Sub(from))*w, h, points.String(), w, colour, w/2, h/2+6, html.EscapeString(format(last, p.FieldConfig.Defaults.Unit))))
}

// heatmap draws the buckets of a histogram over time. Lines are named by their le and cumulative.
func (p *Panel) heatmap(lines []line, from, to time.Time, step time.Duration, w, h float64) string {
	bound := func(l line) float64 {
		le, err := strconv.ParseFloat(l.name, 64)
		if err != nil {
			return math.NaN()
		}
		return le
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(bound(a), bound(b)) })
	cells, most := make([]map[int64]float64, len(lines)), 0.0
	below, first, last := make(map[int64]float64), len(lines), -1
	for i, l := range lines {
		cells[i] = make(map[int64]float64)
		for _, v := range finite(l.values) {
			at := v.At.Unix()
			n := v.Value - below[at]
			below[at] = v.Value
			if n > 1e-9 {
				cells[i][at] = n
				most, first, last = max(most, n), min(first, i), max(last, i)
			}
		}
	}
	if last < 0 {
		return noData(w, h)
	}
	first, last = max(first-1, 0), min(last+1, len(lines)-1)
	f := &frame{w: w, h: h, from: from, to: to, low: 0, high: float64(last - first + 1)}
	for i := first; i <= last; i++ {
		label := "more"
		if le := bound(lines[i]); !math.IsInf(le, 0) {
			label = format(le, "s")
		}
		bottom, top := f.y(float64(i-first)), f.y(float64(i-first+1))
		fmt.Fprintf(f, `<text x="%d" y="%.1f" class="tick" text-anchor="end">%s</text>`, marginLeft-6, top+4, html.EscapeString(label))
		width := f.x(from.Add(step)) - f.x(from)
		for at, n := range cells[i] {
			right := f.x(time.Unix(at, 0))
			left := max(right-width, marginLeft)
			fmt.Fprintf(f, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#ff9830" fill-opacity="%.2f"/>`,
				left, top+0.5, max(right-left-0.5, 0), bottom-top-1, 0.15+0.85*math.Sqrt(n/most))
		}
	}
	f.times()
	return svg(w, h, f.String())
}

func noData(w, h float64) string {
	return svg(w, h, fmt.Sprintf(`<text x="%.0f" y="%.0f" text-anchor="middle" class="none">No data</text>`, w/2, h/2))
}

func svg(w, h float64, body string) string {
	return fmt.Sprintf(`<svg width="%.0f" height="%.0f" xmlns="http://www.w3.org/2000/svg">%s</svg>`, w, h, body)
}
