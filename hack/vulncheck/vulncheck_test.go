// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// With a database of two made-up vulnerabilities, of which one is called. "make vulncheck" names the program.
func TestScan(t *testing.T) {
	program := os.Getenv("GOVULNCHECK")
	if program == "" {
		t.Skip("GOVULNCHECK is not set")
	}
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = run(&out, program, "file://"+dir+"/db", "", false, []string{dir + "/module"})
	if err == nil || !strings.Contains(err.Error(), "GO-0000-0001") || !strings.Contains(err.Error(), "net/url.Parse, from example.com/module.main") {
		t.Errorf("the error is %v", err)
	}
	if !strings.Contains(out.String(), "1 vulnerabilities are called, 1 more") {
		t.Error(out.String())
	}
}

const day = "2026-11-23"

func TestReport(t *testing.T) {
	now, err := time.Parse(time.DateOnly, day)
	if err != nil {
		t.Fatal(err)
	}
	called := finding{id: "GO-1", module: "m@v1", in: ".", called: "x"}
	dormant := finding{id: "GO-2", module: "m@v1", in: "."}
	for name, tc := range map[string]struct {
		found []finding
		list  []known
		want  string // in the error; empty: none
	}{
		"nothing":          {nil, nil, ""},
		"not called":       {[]finding{dormant}, nil, ""},
		"called":           {[]finding{called}, nil, "GO-1 in m@v1"},
		"known":            {[]finding{called}, []known{{"GO-1", "harmless", "2026-11-24"}}, ""},
		"expired":          {[]finding{called}, []known{{"GO-1", "harmless", day}}, "looked at again"},
		"nobody calls it":  {[]finding{dormant}, []known{{"GO-2", "harmless", "2027-01-01"}}, "take it off"},
		"another is known": {[]finding{called}, []known{{"GO-3", "harmless", "2027-01-01"}}, "GO-1 in m@v1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := report(&bytes.Buffer{}, tc.found, tc.list, now)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v, want %q", err, tc.want)
			}
		})
	}
}

func TestKnown(t *testing.T) {
	if _, err := readKnown("known.yaml"); err != nil {
		t.Error(err)
	}
	for _, list := range []string{
		"- {id: GO-1, reason: harmless}", "- {id: GO-1, expires: 2027-01-01}", "- {reason: harmless, expires: 2027-01-01}",
		"- {id: GO-1, reason: harmless, expires: tomorrow}", "- {id: GO-1, reason: harmless, expires: 2027-01-01, until: 2028}", "GO-1",
	} {
		file := filepath.Join(t.TempDir(), "known.yaml")
		if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readKnown(file); err == nil {
			t.Errorf("%q is taken", list)
		}
	}
}

// Where there is no database nothing was checked, and that is said.
func TestUnreachable(t *testing.T) {
	var out bytes.Buffer
	db := "file://" + t.TempDir()
	if err := run(&out, "none", db, "", false, []string{"."}); err != nil || !strings.Contains(out.String(), "NOT looked for") {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := run(&out, "none", db, "", true, []string{"."}); err == nil {
		t.Error("no error though it is required")
	}
}
