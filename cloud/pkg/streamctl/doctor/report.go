// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package doctor finds out why a stream cannot be watched. It walks the way from the API server over the rule to the camera, and stops
// where it is broken.
package doctor

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/kubeedge/datastream/cloud/pkg/streamctl/target"
)

// Level is what came of a check.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warn    Level = "warn"
	Fail    Level = "fail"
	Unknown Level = "unknown" // it could not be checked
)

// sign is the level as people see it.
func (l Level) sign() string {
	switch l {
	case Fail:
		return "FAIL"
	case Unknown:
		return "-"
	default:
		return string(l)
	}
}

// Check is one line of a report.
type Check struct {
	Name  string `json:"name"`
	Level Level  `json:"level"`
	// Code is one CamelCase word for programs that says what is wrong.
	Code string `json:"code,omitempty"`
	// Message says the same for people.
	Message string `json:"message,omitempty"`
	// Next is what to do about it: a command, mostly.
	Next string `json:"next,omitempty"`
}

// Stream is what was found out about one stream, or about a rule that has none.
type Stream struct {
	Namespace string  `json:"namespace"`
	Rule      string  `json:"rule"`
	Path      string  `json:"path,omitempty"`
	Node      string  `json:"node,omitempty"`
	Checks    []Check `json:"checks"`
}

func (s *Stream) title() string {
	title := s.Namespace + " " + s.Rule + s.Path
	if s.Node != "" {
		title += " on " + s.Node
	}
	return title
}

// Cause is a failure that must be mended first.
type Cause struct {
	Check
	// Stream is which one it concerns; empty: all.
	Stream string `json:"stream,omitempty"`
}

// Report is the whole of it.
type Report struct {
	Healthy bool     `json:"healthy"`
	Causes  []Cause  `json:"causes,omitempty"`
	Checks  []Check  `json:"checks"`
	Streams []Stream `json:"streams,omitempty"`
}

// conclude finds the causes: the first failure of what all streams need, and that of each stream.
func (r *Report) conclude() {
	r.add("", r.Checks)
	for i := range r.Streams {
		r.add(r.Streams[i].title(), r.Streams[i].Checks)
	}
	r.Healthy = len(r.Causes) == 0
}

func (r *Report) add(stream string, checks []Check) {
	for _, c := range checks {
		if c.Level == Fail {
			r.Causes = append(r.Causes, Cause{c, stream})
			return
		}
	}
}

// Print writes the report for people. Of several streams, those are one line that nothing is wrong with.
func (r *Report) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	printChecks(w, r.Checks)
	listing := false
	for i := range r.Streams {
		s := &r.Streams[i]
		oneLine := len(r.Streams) > 1 && s.fine()
		if !oneLine || !listing {
			fmt.Fprintln(w)
		}
		if listing = oneLine; listing {
			fmt.Fprintf(w, "%-4s  %s%s\n", OK, s.title(), s.seen())
			continue
		}
		fmt.Fprintln(w, s.title())
		printChecks(w, s.Checks)
	}
	if r.Healthy {
		fmt.Fprintf(w, "\nNothing wrong was found.\n")
	}
	for _, c := range r.Causes {
		where := ""
		if c.Stream != "" {
			where = " (" + c.Stream + ")"
		}
		fmt.Fprintf(w, "\nCause: %s%s: %s\nNext:  %s\n", c.Code, where, oneLine(c.Message), oneLine(c.Next))
	}
	return w.Flush()
}

// fine: nothing has failed, and there is nothing to say.
func (s *Stream) fine() bool {
	for _, c := range s.Checks {
		if c.Level == Fail || c.Level == Warn {
			return false
		}
	}
	return true
}

// seen is what a probe has got, if there was one.
func (s *Stream) seen() string {
	for _, c := range s.Checks {
		if c.Name == checkProbe {
			return ": " + c.Message
		}
	}
	return ""
}

func printChecks(w io.Writer, checks []Check) {
	for _, c := range checks {
		message := c.Message
		if c.Level == Warn {
			message = c.Code + ": " + message
			if c.Next != "" {
				message += "; " + c.Next
			}
		}
		fmt.Fprintf(w, "%-4s\t%s\t%s\n", c.Level.sign(), c.Name, oneLine(message))
	}
}

// oneLine is a text without control characters. Much of a report is in others' words, and none of them may look like a line of ours, or steer
// the terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

func titled(t *target.Target) Stream {
	return Stream{Namespace: t.Key.Namespace, Rule: t.Key.Rule, Path: t.Key.Path, Node: t.Key.Node}
}
