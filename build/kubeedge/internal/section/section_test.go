// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package section

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	datastream "github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

func parse(t *testing.T, text string) Document {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDecodeOverDefaults(t *testing.T) {
	d := parse(t, `
modules:
  cloudHub: {enable: true, whatever: 1}
  cloudDataStream: {enable: true, tunnel: {listen: "127.0.0.1:1"}, stream: {holdTime: 5s}}`)
	c := datastream.NewDefaultCloudDataStream()
	found, errs := d.Decode("cloudDataStream", c)
	if !found || len(errs) > 0 {
		t.Fatal(found, errs)
	}
	want := datastream.NewDefaultCloudDataStream()
	want.Enable, want.Tunnel.Listen, want.Stream.HoldTime.Duration = true, "127.0.0.1:1", 5*time.Second
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
}

func TestDecodeAbsentOrEmpty(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "modules:": false, "modules: 5": false, "modules: {cloudHub: {}}": false,
		"modules: {cloudDataStream: }": true, "modules: {cloudDataStream: {}}": true,
	} {
		c := datastream.NewDefaultCloudDataStream()
		found, errs := parse(t, text).Decode("cloudDataStream", c)
		if found != want || len(errs) > 0 || !reflect.DeepEqual(c, datastream.NewDefaultCloudDataStream()) {
			t.Errorf("%q: found %v, errors %v, %+v", text, found, errs, c)
		}
	}
}

func TestDecodeNamesTheField(t *testing.T) {
	for text, want := range map[string]string{
		"true":                           "modules.cloudDataStream: Invalid value: true: must be a mapping",
		"{enable: sure}":                 `modules.cloudDataStream.enable: Invalid value: "sure": is of type string, must be bool`,
		"{Enable: true}":                 "modules.cloudDataStream.Enable: Forbidden: there is no such field",
		"{bogus: {}}":                    "modules.cloudDataStream.bogus: Forbidden: there is no such field",
		"{tunnel: 5}":                    "modules.cloudDataStream.tunnel: Invalid value: 5: is of type number, must be",
		"{tunnel: {lisen: a}}":           "modules.cloudDataStream.tunnel.lisen: Forbidden: there is no such field",
		"{tunnel: {listen: {port: 1}}}":  "modules.cloudDataStream.tunnel.listen.port: Invalid value: 1: is of type object, must be string",
		"{tunnel: {maxPayload: 1.5}}":    "modules.cloudDataStream.tunnel.maxPayload: Invalid value: 1.5: is of type number 1.5, must be int",
		"{stream: {holdTime: 10}}":       "modules.cloudDataStream.stream.holdTime: Invalid value: 10: is of type number, must be string",
		"{stream: {holdTime: 10 years}}": `modules.cloudDataStream.stream.holdTime: Invalid value: "10 years": time: unknown unit`,
	} {
		_, errs := parse(t, "modules: {cloudDataStream: "+text+"}").Decode("cloudDataStream", datastream.NewDefaultCloudDataStream())
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%s: errors %v\nwant %s", text, errs, want)
		}
	}
}

func TestWith(t *testing.T) {
	d, err := With(map[string]any{"kind": "Test"}, map[string]any{"a": map[string]any{"enable": false}})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Get("a"); !ok || d["kind"] != "Test" {
		t.Errorf("%v", d)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "new" {
		t.Errorf("%q, %v", got, err)
	}
	for name, want := range map[string]os.FileMode{file: 0o640, link: os.ModeSymlink | 0o777} {
		if info, err := os.Lstat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}
