// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package player

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestReferences follows what the page and its scripts refer to.
func TestReferences(t *testing.T) {
	page := string(Page())
	refs := regexp.MustCompile(`(?:src|href)="/assets/([^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(refs) < 3 {
		t.Errorf("the page has %d references", len(refs))
	}
	script, err := fs.ReadFile(Assets(), "player.js")
	if err != nil {
		t.Fatal(err)
	}
	refs = append(refs, regexp.MustCompile(`from "\./([^"]+)"`).FindAllStringSubmatch(string(script), -1)...)
	for _, ref := range refs {
		if _, err := fs.Stat(Assets(), ref[1]); err != nil {
			t.Error(err)
		}
	}
	for _, id := range regexp.MustCompile(`(?:\$|[^.]\bset)\("([a-z-]+)"`).FindAllStringSubmatch(string(script), -1) {
		if !strings.Contains(page, `id="`+id[1]+`"`) {
			t.Errorf("the script looks for %q", id[1])
		}
	}
}

// TestNothingInline: the Content-Security-Policy would block it.
func TestNothingInline(t *testing.T) {
	page := string(Page())
	for _, bad := range []string{`style=`, `<style`, `onclick=`, `onload=`, `javascript:`, `https://`, `<script>`} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	if strings.Contains(ContentSecurityPolicy, "unsafe") {
		t.Error("the policy allows something unsafe")
	}
	entries, err := fs.ReadDir(Assets(), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch path.Ext(e.Name()) {
		case ".js", ".css", ".svg":
		default:
			t.Errorf("unexpected asset %s", e.Name())
		}
	}
}
