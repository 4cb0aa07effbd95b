// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

const specVersion = cyclonedx.SpecVersion1_6

// stdlib is the name of Go's standard library in package URLs, and in Go's vulnerability database.
const stdlib = "stdlib"

// module makes a component. sum is that of go.sum: the SHA-256 of a list of the module's files, in base64 behind "h1:".
func module(path, version, sum string) cyclonedx.Component {
	purl := "pkg:golang/" + path
	if version == develVersion {
		version = ""
	}
	if version != "" { // a + would be a space (package-url specification, rules for each component)
		purl += "@" + strings.ReplaceAll(version, "+", "%2B")
	}
	c := cyclonedx.Component{
		Type: cyclonedx.ComponentTypeLibrary, BOMRef: purl, Name: path, Version: version, PackageURL: purl, Scope: cyclonedx.ScopeRequired,
	}
	if digest, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:")); err == nil && len(digest) == sha256.Size {
		c.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(digest)}}
	}
	return c
}

// replaced makes the component of what stands in for a module. A directory has no version of its own: it is that module, patched here.
func replaced(path, version, by, byVersion, sum string) cyclonedx.Component {
	if byVersion != "" && byVersion != develVersion {
		return module(by, byVersion, sum)
	}
	c := module(path, version, "")
	c.Properties = &[]cyclonedx.Property{{Name: "datastream:replaced", Value: "a copy in this project's tree"}}
	return c
}

const develVersion = "(devel)"

// settings are those of a build that tell what was built; the others, such as the revision, say from where and when.
var settings = []string{"GOOS", "GOARCH", "GOAMD64", "GOARM64", "CGO_ENABLED", "-tags", "-trimpath", "-buildmode"}

// ofBinary reads what the linker has written down.
func ofBinary(path string) (bill, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return bill{}, fmt.Errorf("reading a binary: %w", err)
	}
	digest, err := fileDigest(path)
	if err != nil {
		return bill{}, err
	}
	b := bill{name: filepath.Base(path), subject: module(info.Path, info.Main.Version, "")}
	b.subject.Type, b.subject.Scope = cyclonedx.ComponentTypeApplication, ""
	b.subject.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: digest}}
	var properties []cyclonedx.Property
	for _, name := range settings {
		for _, s := range info.Settings {
			if s.Key == name {
				properties = append(properties, cyclonedx.Property{Name: "datastream:build:" + name, Value: s.Value})
			}
		}
	}
	b.subject.Properties = &properties
	b.components = []cyclonedx.Component{module(stdlib, strings.TrimPrefix(strings.Fields(info.GoVersion)[0], "go"), "")}
	for _, d := range info.Deps {
		b.components = append(b.components, ofDependency(d))
	}
	return b, nil
}

func ofDependency(d *debug.Module) cyclonedx.Component {
	if r := d.Replace; r != nil {
		return replaced(d.Path, d.Version, r.Path, r.Version, r.Sum)
	}
	return module(d.Path, d.Version, d.Sum)
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading a binary: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// listed is what "go list" says of a module.
type listed struct {
	Path, Version, Sum, GoVersion string
	Main                          bool
	Replace                       *listed
}

// ofModule asks go list for the modules of all packages that the module's packages need.
func ofModule(dir string) (bill, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=Module", "./cloud/...", "./edge/...", "./pkg/...")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return bill{}, fmt.Errorf("listing the packages of %s: %w", dir, err)
	}
	sums, err := goSums(filepath.Join(dir, "go.sum"))
	if err != nil {
		return bill{}, err
	}
	var b bill
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ Module *listed }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return bill{}, fmt.Errorf("listing the packages of %s: %w", dir, err)
		}
		switch m := p.Module; {
		case m == nil: // of the standard library
		case m.Main:
			b.name = filepath.Base(m.Path)
			b.subject = module(m.Path, develVersion, "")
			b.subject.Scope = ""
		case m.Replace != nil:
			b.components = append(b.components, replaced(m.Path, m.Version, m.Replace.Path, m.Replace.Version, sums[m.Replace.Path+" "+m.Replace.Version]))
		default:
			b.components = append(b.components, module(m.Path, m.Version, sums[m.Path+" "+m.Version]))
		}
	}
	return b, nil
}

// goSums reads a go.sum: the sums by "path version".
func goSums(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading the modules' sums: %w", err)
	}
	defer f.Close()
	sums := make(map[string]string)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 {
			sums[fields[0]+" "+fields[1]] = fields[2]
		}
	}
	return sums, lines.Err()
}
