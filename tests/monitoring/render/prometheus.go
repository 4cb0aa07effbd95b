// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Prometheus is the address of one, as http://host:port.
type Prometheus string

// Series is one series of an answer.
type Series struct {
	Labels map[string]string `json:"metric"`
	Values []Point           `json:"values"`
	Value  Point             `json:"value"` // of an instant query
}

// Point is a value at a time.
type Point struct {
	At    time.Time
	Value float64
}

// UnmarshalJSON reads [seconds, "value"].
func (p *Point) UnmarshalJSON(b []byte) error {
	var raw [2]json.RawMessage
	var seconds float64
	var text string
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw[0], &seconds); err != nil {
		return err
	}
	if err := json.Unmarshal(raw[1], &text); err != nil {
		return err
	}
	v, err := strconv.ParseFloat(text, 64)
	p.At, p.Value = time.UnixMilli(int64(math.Round(seconds*1000))), v
	return err
}

// Query asks for values of now.
func (p Prometheus) Query(ctx context.Context, expr string) ([]Series, error) {
	return p.ask(ctx, "query", url.Values{"query": {expr}})
}

// QueryRange asks for values from one time to another.
func (p Prometheus) QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]Series, error) {
	seconds := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	return p.ask(ctx, "query_range", url.Values{
		"query": {expr}, "start": {seconds(from)}, "end": {seconds(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', 3, 64)},
	})
}

func (p Prometheus) ask(ctx context.Context, what string, values url.Values) ([]Series, error) {
	var data struct {
		Result []Series `json:"result"`
	}
	if err := p.Get(ctx, "/api/v1/"+what+"?"+values.Encode(), &data); err != nil {
		return nil, fmt.Errorf("asking for %s: %w", values.Get("query"), err)
	}
	return data.Result, nil
}

// Get reads the data of an answer of Prometheus' API.
func (p Prometheus) Get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, string(p)+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   any    `json:"data"`
	}{Data: into}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("reading the answer (%s): %w", resp.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("prometheus says %q", answer.Error)
	}
	return nil
}

// finite leaves out what cannot be drawn.
func finite(values []Point) []Point {
	return slices.DeleteFunc(slices.Clone(values), func(p Point) bool { return math.IsNaN(p.Value) || math.IsInf(p.Value, 0) })
}
