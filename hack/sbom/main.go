// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Command sbom writes software bills of materials in CycloneDX JSON: for Go binaries of what the linker put into them, and for a module of
// what its packages, but not its tests and tools, are built of. The same input gives the same bytes: there is no time and no serial number.
//
//	sbom -o DIR [-module DIR] [BINARY...]
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/CycloneDX/cyclonedx-go"
)

// bill is what a bill of materials is about.
type bill struct {
	name       string // of the file, without suffix
	subject    cyclonedx.Component
	components []cyclonedx.Component
}

func main() {
	dir := flag.String("o", ".", "directory to write to")
	module := flag.String("module", "", "directory of a module")
	flag.Parse()
	if err := run(*dir, *module, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(dir, module string, binaries []string) error {
	var bills []bill
	if module != "" {
		b, err := ofModule(module)
		if err != nil {
			return err
		}
		bills = append(bills, b)
	}
	for _, binary := range binaries {
		b, err := ofBinary(binary)
		if err != nil {
			return err
		}
		bills = append(bills, b)
	}
	for _, b := range bills {
		if err := b.write(dir); err != nil {
			return err
		}
	}
	return nil
}

func (b *bill) write(dir string) error {
	byRef := func(x, y cyclonedx.Component) int { return cmp.Compare(x.BOMRef, y.BOMRef) }
	slices.SortFunc(b.components, byRef)
	components := slices.CompactFunc(b.components, func(x, y cyclonedx.Component) bool { return x.BOMRef == y.BOMRef })
	refs := make([]string, len(components))
	for i, c := range components {
		refs[i] = c.BOMRef
	}
	bom := cyclonedx.NewBOM()
	bom.SerialNumber = ""
	bom.Metadata = &cyclonedx.Metadata{Component: &b.subject}
	bom.Components = &components
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: b.subject.BOMRef, Dependencies: &refs}}

	path := filepath.Join(dir, b.name+".cdx.json")
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("writing a bill of materials: %w", err)
	}
	defer f.Close()
	if err := cyclonedx.NewBOMEncoder(f, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, specVersion); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	fmt.Printf("%s: %d components\n", path, len(components))
	return nil
}
