// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubeedge/api/apis/componentconfig/edgecore/v1alpha2"
	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/kubeedge/datastream/build/kubeedge/internal/section"
)

// KubeEdge's packages start goroutines as they are loaded.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

const joining = `
modules:
  edgeHub: {token: secret}
  edgeDataStream: {enable: true, server: "wss://cloud:1", queue: {bytes: 8388608}}
`

// rewrite does to the file what stock edgecore does after joining.
func rewrite(t *testing.T, file string) {
	t.Helper()
	c := v1alpha2.NewDefaultEdgeCoreConfig()
	if err := c.Parse(file); err != nil {
		t.Fatal(err)
	}
	c.Modules.EdgeHub.Token = ""
	data, err := yaml.Marshal(*c)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(data))
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startKeeper is a start of edgecore.
func startKeeper(t *testing.T, file string) *keeper {
	t.Helper()
	d, err := section.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	k := newKeeper(file)
	if err := k.start(d); err != nil {
		t.Fatal(err)
	}
	return k
}

// check checks whether our section is in the file, and the copy beside it.
func check(t *testing.T, k *keeper, inFile, beside bool) {
	t.Helper()
	d, err := section.Read(k.file)
	if err != nil {
		t.Fatal(err)
	}
	ours, ok := d.Get(edgeDataStream)
	if ok != inFile {
		t.Errorf("section in the file: %v, want %v", ok, inFile)
	}
	if fields, _ := ours.(map[string]any); inFile && fields["server"] != "wss://cloud:1" {
		t.Errorf("section is %v", ours)
	}
	if _, err := os.Stat(k.spare); (err == nil) != beside {
		t.Errorf("copy: %v, want one: %v", err, beside)
	}
}

func TestKeeperWhileRunning(t *testing.T) {
	file := filepath.Join(t.TempDir(), "edgecore.yaml")
	write(t, file, joining)
	k := startKeeper(t, file)
	check(t, k, true, true)
	done := make(chan error)
	go func() { done <- k.run(context.Background()) }()
	rewrite(t, file)
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the section is not put back")
	}
	check(t, k, true, false)
	data, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(data), "secret") {
		t.Errorf("the token is still there: %v", err)
	}
}

func TestKeeperEndsWithContext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "edgecore.yaml")
	write(t, file, joining)
	k := startKeeper(t, file)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := k.run(ctx); err != nil {
		t.Fatal(err)
	}
	check(t, k, true, true)
}

func TestKeeperAfterCrash(t *testing.T) {
	file := filepath.Join(t.TempDir(), "edgecore.yaml")
	write(t, file, joining)
	startKeeper(t, file)
	rewrite(t, file) // and dead before run saw it
	check(t, startKeeper(t, file), true, false)
}

func TestKeeperLeavesWhatItsOwnerWrote(t *testing.T) {
	for name, text := range map[string]string{
		"section taken out before joining": "modules: {edgeHub: {token: secret}}",
		"file written by hand":             "modules: {edgeHub: {enable: true}}",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "edgecore.yaml")
			write(t, file, joining)
			startKeeper(t, file)
			write(t, file, text)
			check(t, startKeeper(t, file), false, false)
		})
	}
}

func TestKeeperWithoutToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "edgecore.yaml")
	for text, inFile := range map[string]bool{
		"modules: {edgeHub: {token: ''}, edgeDataStream: {server: 'wss://cloud:1'}}": true,
		"modules: {edgeDataStream: {server: 'wss://cloud:1'}}":                       true,
		"modules: {edgeHub: {token: ''}}":                                            false,
		"kind: EdgeCore":                                                             false,
	} {
		write(t, file, text)
		check(t, startKeeper(t, file), inFile, false)
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%s was changed to %s, %v", text, got, err)
		}
	}
}

// TestKeeperPassesOverHalfAFile has the file cut short, as a reader may find it while it is written.
func TestKeeperPassesOverHalfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "edgecore.yaml")
	write(t, file, joining)
	k := startKeeper(t, file)
	if done, err := k.settle(nil); done || err != nil {
		t.Errorf("an empty file: %v, %v", done, err)
	}
	if _, err := os.Stat(k.spare); err != nil {
		t.Error(err)
	}
}
