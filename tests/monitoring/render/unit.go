// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"math"
	"strconv"
)

// format writes a value in one of Grafana's units.
func format(v float64, unit string) string {
	scaled := func(suffixes []string, base float64, after string) string {
		i := 0
		for math.Abs(v) >= base && i < len(suffixes)-1 {
			v, i = v/base, i+1
		}
		return number(v) + suffixes[i] + after
	}
	switch unit {
	case "s":
		switch a := math.Abs(v); {
		case a == 0:
			return "0 s"
		case a < 0.001:
			return number(v*1e6) + " µs"
		case a < 1:
			return number(v*1e3) + " ms"
		case a < 120:
			return number(v) + " s"
		default:
			return number(v/60) + " min"
		}
	case "bytes":
		return scaled([]string{" B", " KiB", " MiB", " GiB", " TiB"}, 1024, "")
	case "bps":
		return scaled([]string{" b", " kb", " Mb", " Gb"}, 1000, "/s")
	case "d":
		return number(v) + " d"
	case "cpm":
		return scaled([]string{"", " K", " Mil"}, 1000, " /min")
	case "reqps":
		return scaled([]string{"", " K"}, 1000, " /s")
	default:
		return scaled([]string{"", " K", " Mil", " Bil"}, 1000, "")
	}
}

// number writes three significant digits, without a fraction of zeros.
func number(v float64) string {
	if a := math.Abs(v); a >= 100 || a == math.Trunc(a) {
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// ticks are values from low to high that are round in that unit, about n of them.
func ticks(low, high float64, n int, unit string) []float64 {
	raw := (high - low) / float64(n)
	if raw <= 0 || math.IsNaN(raw) || math.IsInf(raw, 0) {
		return []float64{low}
	}
	scale := 1.0
	if unit == "bytes" {
		scale = math.Pow(1024, math.Floor(math.Log(raw)/math.Log(1024)))
	}
	step := scale * math.Pow(10, math.Floor(math.Log10(raw/scale)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*step >= raw {
			step *= m
			break
		}
	}
	var out []float64
	for i := math.Ceil(low/step - 1e-9); i*step <= high+step*1e-9; i++ {
		out = append(out, i*step+0) // plus zero: not -0
	}
	return out
}
