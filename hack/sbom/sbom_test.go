// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema is CycloneDX's own, as the library's module has it.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	c := jsonschema.NewCompiler()
	for url, file := range map[string]string{
		"http://cyclonedx.org/schema/bom-1.6.schema.json":  "bom-1.6.schema.json",
		"http://cyclonedx.org/schema/spdx.schema.json":     "spdx.schema.json",
		"http://cyclonedx.org/schema/jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(url, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read checks a bill against the schema and returns its components by package URL.
func read(t *testing.T, file string) map[string]cyclonedx.Component {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema(t).Validate(doc); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var bom cyclonedx.BOM
	if err := json.Unmarshal(b, &bom); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]cyclonedx.Component)
	for _, c := range *bom.Components {
		all[c.PackageURL] = c
	}
	return all
}

// wantAll checks that each line that "go version -m" has for a module is in the bill.
func wantAll(t *testing.T, binary string, have map[string]cyclonedx.Component) {
	t.Helper()
	out, err := exec.Command("go", "version", "-m", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	modules, last := 0, ""
	check := func(path, version string) {
		modules++
		if _, ok := have["pkg:golang/"+path+"@"+strings.ReplaceAll(version, "+", "%2B")]; !ok {
			t.Errorf("%s: %s %s is missing", binary, path, version)
		}
	}
	lines := strings.Split(string(out), "\n")
	for i, line := range lines {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "dep":
			last = f[1] + " " + f[2]
			if i+1 < len(lines) && strings.HasPrefix(strings.TrimSpace(lines[i+1]), "=>") {
				continue
			}
			check(f[1], f[2])
		case "=>":
			if len(f) > 2 && f[2] != develVersion {
				check(f[1], f[2])
				continue
			}
			path, version, _ := strings.Cut(last, " ")
			check(path, version)
		}
	}
	if len(have) != modules+1 {
		t.Errorf("%s: %d components, want %d and the standard library", binary, len(have), modules)
	}
}

// The test's own binary.
func TestBinary(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var written [2][]byte
	for i := range written {
		dir := t.TempDir()
		if err := run(dir, "", []string{self}); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, filepath.Base(self)+".cdx.json")
		wantAll(t, self, read(t, file))
		if written[i], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(written[0], written[1]) {
		t.Error("the same binary has two bills")
	}
}

func TestModule(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir, "../..", nil); err != nil {
		t.Fatal(err)
	}
	have := read(t, filepath.Join(dir, "datastream.cdx.json"))
	found := false
	for purl, c := range have {
		found = found || strings.HasPrefix(purl, "pkg:golang/github.com/gorilla/websocket@")
		if c.Hashes == nil {
			t.Errorf("%s has no sum", purl)
		}
	}
	if !found {
		t.Errorf("gorilla/websocket is not among %d components", len(have))
	}
}

func TestVersions(t *testing.T) {
	if got, want := module("example.com/m", "v2.0.0+incompatible", "").PackageURL, "pkg:golang/example.com/m@v2.0.0%2Bincompatible"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := replaced("example.com/m", "v1.0.0", "../m", "(devel)", ""); got.Version != "v1.0.0" || got.Properties == nil {
		t.Errorf("%+v does not say that it is patched", got)
	}
	if got := replaced("example.com/m", "v1.0.0", "example.com/fork", "v1.0.1", ""); got.Name != "example.com/fork" || got.Version != "v1.0.1" {
		t.Errorf("%+v is not the fork", got)
	}
}

// "make sbom" has the bills checked that it wrote: SBOM_DIR is where they are, and SBOM_BIN the binaries' directory.
func TestWritten(t *testing.T) {
	dir, bin := os.Getenv("SBOM_DIR"), os.Getenv("SBOM_BIN")
	if dir == "" {
		t.Skip("SBOM_DIR is not set")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.cdx.json"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d bills in %s, %v", len(files), dir, err)
	}
	for _, file := range files {
		have := read(t, file)
		binary := filepath.Join(bin, strings.TrimSuffix(filepath.Base(file), ".cdx.json"))
		if _, err := os.Stat(binary); err == nil {
			wantAll(t, binary, have)
		}
	}
}
