// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package render draws a Grafana dashboard with the data of a Prometheus, where Grafana is not to be had. It knows what our dashboard
// uses of Grafana's model and refuses everything else, so it also is the check that the JSON has no field that is misspelt or misplaced.
package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// Dashboard is a dashboard of Grafana's schema version 39 (Grafana 10.4 and later).
type Dashboard struct {
	Annotations          Annotations `json:"annotations"`
	Description          string      `json:"description"`
	Editable             bool        `json:"editable"`
	FiscalYearStartMonth int         `json:"fiscalYearStartMonth"`
	GraphTooltip         int         `json:"graphTooltip"`
	ID                   *int        `json:"id"`
	Links                []struct{}  `json:"links"`
	Panels               []Panel     `json:"panels"`
	Refresh              string      `json:"refresh"`
	SchemaVersion        int         `json:"schemaVersion"`
	Tags                 []string    `json:"tags"`
	Templating           struct {
		List []Variable `json:"list"`
	} `json:"templating"`
	Time struct {
		From string `json:"from"`
		To   string `json:"to"`
	} `json:"time"`
	TimePicker struct{} `json:"timepicker"`
	Timezone   string   `json:"timezone"`
	Title      string   `json:"title"`
	UID        string   `json:"uid"`
	Version    int      `json:"version"`
	WeekStart  string   `json:"weekStart"`
}

// Annotations are marks on the time axis.
type Annotations struct {
	List []struct {
		BuiltIn     int        `json:"builtIn"`
		DataSource  DataSource `json:"datasource"`
		Enable      bool       `json:"enable"`
		Expr        string     `json:"expr"`
		Hide        bool       `json:"hide"`
		IconColor   string     `json:"iconColor"`
		Name        string     `json:"name"`
		TagKeys     string     `json:"tagKeys"`
		TitleFormat string     `json:"titleFormat"`
		Type        string     `json:"type"`
	} `json:"list"`
}

// DataSource names where data come from.
type DataSource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// Variable is one of the choices above a dashboard.
type Variable struct {
	AllValue   string          `json:"allValue"`
	Current    any             `json:"current"`
	DataSource *DataSource     `json:"datasource"`
	Definition string          `json:"definition"`
	Hide       int             `json:"hide"`
	IncludeAll bool            `json:"includeAll"`
	Label      string          `json:"label"`
	Multi      bool            `json:"multi"`
	Name       string          `json:"name"`
	Options    []struct{}      `json:"options"`
	Query      json.RawMessage `json:"query"` // a string or an object, by type
	Refresh    int             `json:"refresh"`
	Regex      string          `json:"regex"`
	SkipURL    bool            `json:"skipUrlSync"`
	Sort       int             `json:"sort"`
	Type       string          `json:"type"`
}

// Panel is one panel, or the title of a row.
type Panel struct {
	Collapsed       bool             `json:"collapsed"`
	DataSource      *DataSource      `json:"datasource"`
	Description     string           `json:"description"`
	FieldConfig     FieldConfig      `json:"fieldConfig"`
	GridPos         GridPos          `json:"gridPos"`
	ID              int              `json:"id"`
	Options         json.RawMessage  `json:"options"` // by type, see options
	Panels          []struct{}       `json:"panels"`
	Targets         []Target         `json:"targets"`
	Title           string           `json:"title"`
	Transformations []Transformation `json:"transformations"`
	Type            string           `json:"type"`
}

// GridPos is a place in the grid of 24 columns.
type GridPos struct{ H, W, X, Y int }

// Target is one query.
type Target struct {
	DataSource   DataSource `json:"datasource"`
	EditorMode   string     `json:"editorMode"`
	Expr         string     `json:"expr"`
	Format       string     `json:"format"`
	Instant      bool       `json:"instant"`
	LegendFormat string     `json:"legendFormat"`
	Range        bool       `json:"range"`
	RefID        string     `json:"refId"`
}

// FieldConfig is how values look.
type FieldConfig struct {
	Defaults  Field `json:"defaults"`
	Overrides []struct {
		Matcher struct {
			ID      string `json:"id"`
			Options string `json:"options"`
		} `json:"matcher"`
		Properties []struct {
			ID    string   `json:"id"`
			Value Property `json:"value"`
		} `json:"properties"`
	} `json:"overrides"`
}

// Property is what an override sets: a unit or a colour.
type Property struct {
	Unit       string `json:"-"`
	FixedColor string `json:"fixedColor"`
	Mode       string `json:"mode"`
}

// UnmarshalJSON takes the text of a unit, or the object of a colour.
func (p *Property) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &p.Unit)
	}
	type colour Property
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode((*colour)(p))
}

// property is what the overrides say of a field, by its name.
func (f *FieldConfig) property(name, id string) Property {
	for _, o := range f.Overrides {
		for _, p := range o.Properties {
			if o.Matcher.Options == name && p.ID == id {
				return p.Value
			}
		}
	}
	return Property{}
}

// Field is how one value looks.
type Field struct {
	Color struct {
		Mode string `json:"mode"`
	} `json:"color"`
	Custom     Custom     `json:"custom"`
	Mappings   []struct{} `json:"mappings"`
	Min        *float64   `json:"min"`
	Thresholds struct {
		Mode  string `json:"mode"`
		Steps []Step `json:"steps"`
	} `json:"thresholds"`
	Unit string `json:"unit"`
}

// Step is from which value on a colour holds; nil is from the beginning.
type Step struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"`
}

// Custom is what the kinds of panels add to a field.
type Custom struct {
	Align       string `json:"align"`
	CellOptions struct {
		Type string `json:"type"`
	} `json:"cellOptions"`
	DrawStyle         string          `json:"drawStyle"`
	FillOpacity       float64         `json:"fillOpacity"`
	Filterable        bool            `json:"filterable"`
	HideFrom          map[string]bool `json:"hideFrom"`
	LineInterpolation string          `json:"lineInterpolation"`
	LineWidth         float64         `json:"lineWidth"`
	ScaleDistribution struct {
		Type string `json:"type"`
	} `json:"scaleDistribution"`
	ShowPoints string `json:"showPoints"`
	SpanNulls  bool   `json:"spanNulls"`
	Stacking   struct {
		Group string `json:"group"`
		Mode  string `json:"mode"`
	} `json:"stacking"`
	ThresholdsStyle struct {
		Mode string `json:"mode"`
	} `json:"thresholdsStyle"`
}

// Transformation changes a table.
type Transformation struct {
	ID      string `json:"id"`
	Options struct {
		ExcludeByName map[string]bool   `json:"excludeByName"`
		IndexByName   map[string]int    `json:"indexByName"`
		RenameByName  map[string]string `json:"renameByName"`
	} `json:"options"`
}

// options are those that each type of panel has.
func options(kind string) any {
	type legend struct {
		Calcs       []string `json:"calcs"`
		DisplayMode string   `json:"displayMode"`
		Placement   string   `json:"placement"`
		ShowLegend  bool     `json:"showLegend"`
	}
	type tooltip struct {
		Mode       string `json:"mode"`
		Sort       string `json:"sort"`
		YHistogram bool   `json:"yHistogram"`
	}
	switch kind {
	case "timeseries":
		return &struct {
			Legend  legend  `json:"legend"`
			Tooltip tooltip `json:"tooltip"`
		}{}
	case "stat":
		return &struct {
			ColorMode     string `json:"colorMode"`
			GraphMode     string `json:"graphMode"`
			JustifyMode   string `json:"justifyMode"`
			Orientation   string `json:"orientation"`
			TextMode      string `json:"textMode"`
			ReduceOptions struct {
				Calcs  []string `json:"calcs"`
				Fields string   `json:"fields"`
				Values bool     `json:"values"`
			} `json:"reduceOptions"`
		}{}
	case "table":
		return &struct {
			CellHeight string `json:"cellHeight"`
			ShowHeader bool   `json:"showHeader"`
			Footer     struct {
				CountRows bool     `json:"countRows"`
				Fields    string   `json:"fields"`
				Reducer   []string `json:"reducer"`
				Show      bool     `json:"show"`
			} `json:"footer"`
		}{}
	case "heatmap":
		return &struct {
			Calculate bool `json:"calculate"`
			CellGap   int  `json:"cellGap"`
			Color     struct {
				Exponent float64 `json:"exponent"`
				Fill     string  `json:"fill"`
				Mode     string  `json:"mode"`
				Reverse  bool    `json:"reverse"`
				Scale    string  `json:"scale"`
				Scheme   string  `json:"scheme"`
				Steps    int     `json:"steps"`
			} `json:"color"`
			Exemplars struct {
				Color string `json:"color"`
			} `json:"exemplars"`
			FilterValues struct {
				LE float64 `json:"le"`
			} `json:"filterValues"`
			Legend struct {
				Show bool `json:"show"`
			} `json:"legend"`
			RowsFrame struct {
				Layout string `json:"layout"`
			} `json:"rowsFrame"`
			Tooltip tooltip `json:"tooltip"`
			YAxis   struct {
				AxisPlacement string `json:"axisPlacement"`
				Reverse       bool   `json:"reverse"`
				Unit          string `json:"unit"`
			} `json:"yAxis"`
		}{}
	}
	return nil
}

// Load reads a dashboard. A field or a type of panel that is not known is an error.
func Load(file string) (*Dashboard, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading dashboard: %w", err)
	}
	var d Dashboard
	if err := strict(data, &d); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	for i := range d.Panels {
		p := &d.Panels[i]
		if p.Type == "row" {
			continue
		}
		into := options(p.Type)
		if into == nil {
			return nil, fmt.Errorf("reading %s: panel %q is of type %q", file, p.Title, p.Type)
		}
		if err := strict(p.Options, into); err != nil {
			return nil, fmt.Errorf("reading %s: options of panel %q: %w", file, p.Title, err)
		}
	}
	return &d, nil
}

func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("more than one value")
	}
	return nil
}

// Expand fills in what Grafana would: every variable chosen as a whole, and rateInterval for $__rate_interval.
func (d *Dashboard) Expand(expr, rateInterval string) string {
	pairs := []string{"$__rate_interval", rateInterval}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			pairs = append(pairs, "$"+v.Name, v.AllValue)
		}
	}
	return strings.NewReplacer(pairs...).Replace(expr)
}
