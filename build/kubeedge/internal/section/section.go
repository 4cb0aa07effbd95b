// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package section reads and writes the parts of cloudcore.yaml and edgecore.yaml that are ours. Stock KubeEdge
// parses these files leniently and passes over what it does not know.
package section

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// modulesKey is where both files have their modules.
const modulesKey = "modules"

// Path is the field path of a module's section.
func Path(name string) *field.Path { return field.NewPath(modulesKey, name) }

// Document is a whole configuration file.
type Document map[string]any

// Read reads a configuration file.
func Read(file string) (Document, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	return Parse(data)
}

// Parse reads YAML.
func Parse(data []byte) (Document, error) {
	var d Document
	if err := yaml.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("parsing configuration: %w", err)
	}
	return d, nil
}

// Of returns the document that a component's configuration type is written as.
func Of(config any) (Document, error) {
	data, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding configuration: %w", err)
	}
	return Parse(data)
}

// Get returns a module's section, and whether there is one.
func (d Document) Get(name string) (any, bool) {
	modules, _ := d[modulesKey].(map[string]any)
	section, ok := modules[name]
	return section, ok
}

// Set puts a module's section in.
func (d Document) Set(name string, section any) {
	modules, ok := d[modulesKey].(map[string]any)
	if !ok {
		modules = make(map[string]any)
		d[modulesKey] = modules
	}
	modules[name] = section
}

// Decode reads a module's section, if there is one, over the defaults that into holds. It is strict and reports each
// field that it cannot take, by its path.
func (d Document) Decode(name string, into any) (found bool, errs field.ErrorList) {
	section, found := d.Get(name)
	if !found || section == nil {
		return found, nil
	}
	if _, ok := section.(map[string]any); !ok {
		return true, field.ErrorList{field.Invalid(Path(name), section, "must be a mapping")}
	}
	return true, decode(Path(name), nil, section, into)
}

// decode decodes leaf by leaf, since the errors of types that decode themselves name no field.
func decode(path *field.Path, keys []string, value, into any) field.ErrorList {
	if fields, ok := value.(map[string]any); ok && len(fields) > 0 {
		var errs field.ErrorList
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			errs = append(errs, decode(path.Child(key), append(slices.Clone(keys), key), fields[key], into)...)
		}
		return errs
	}
	document := value
	for _, key := range slices.Backward(keys) {
		document = map[string]any{key: document}
	}
	data, err := json.Marshal(document)
	if err != nil {
		return field.ErrorList{field.InternalError(path, err)}
	}
	strict, err := kjson.UnmarshalStrict(data, into)
	switch {
	case err != nil:
		return field.ErrorList{field.Invalid(path, value, reason(err))}
	case len(strict) > 0:
		return field.ErrorList{field.Forbidden(path, "there is no such field")}
	}
	return nil
}

// reason says in YAML's words what the decoder says in Go's.
func reason(err error) string {
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return fmt.Sprintf("is of type %s, must be %s", mismatch.Value, mismatch.Type)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
