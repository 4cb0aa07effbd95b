// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const root = "../../"

// ignoreRule is one line of a .dockerignore.
type ignoreRule struct {
	pattern string
	matches *regexp.Regexp // a path, or a folder that it is in
	keep    bool
}

// ignoreFile decides as docker build does: the last rule that matches a path or a folder above it counts.
type ignoreFile []ignoreRule

func parseIgnore(t *testing.T, file string) ignoreFile {
	t.Helper()
	var rules ignoreFile
	for line := range strings.Lines(string(read(t, file))) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		pattern, keep := strings.CutPrefix(line, "!")
		text := strings.NewReplacer(`\*\*/`, `(.*/)?`, `\*`, `[^/]*`).Replace(regexp.QuoteMeta(pattern))
		rules = append(rules, ignoreRule{pattern, regexp.MustCompile(`^` + text + `(/.*)?$`), keep})
	}
	return rules
}

func (f ignoreFile) ignored(path string) bool {
	ignored := false
	for _, r := range f {
		if r.matches.MatchString(path) {
			ignored = !r.keep
		}
	}
	return ignored
}

// keepsBelow says whether a rule may keep something in an ignored folder.
func (f ignoreFile) keepsBelow(folder string) bool {
	return slices.ContainsFunc(f, func(r ignoreRule) bool { return r.keep && strings.HasPrefix(r.pattern, folder+"/") })
}

// send copies to dir what docker build would send of the repository.
func send(t *testing.T, rules ignoreFile, dir string) (files int) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || file == root {
			return err
		}
		path, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		ignored := rules.ignored(path)
		switch {
		case entry.IsDir() && ignored && !rules.keepsBelow(path):
			return fs.SkipDir
		case entry.IsDir() || ignored:
			return nil
		}
		files++
		return copyFile(file, filepath.Join(dir, path))
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm())
}

// The builder's RUN, with the compiler told to say only what it would do, finds all that it needs in what COPY brings.
func TestDockerfilesBuild(t *testing.T) {
	kubeEdge(t)
	for _, file := range glob(t, build+"docker/*.Dockerfile") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			dir := t.TempDir()
			if n := send(t, parseIgnore(t, file+".dockerignore"), dir); n == 0 {
				t.Fatal("nothing is sent")
			} else {
				t.Logf("%d files are sent", n)
			}
			builder := parseDockerfile(t, file)[0]
			if c := all(builder, "COPY"); len(c) != 1 || c[0].args != ". ." {
				t.Fatalf("COPY %v: this test knows one of everything only", c)
			}
			env := append(os.Environ(), "GOFLAGS=-n", "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH)
			for _, a := range all(builder, "ARG") {
				for _, word := range a.words() {
					if strings.Contains(word, "=") {
						env = append(env, word)
					}
				}
			}
			for _, r := range all(builder, "RUN") {
				cmd := exec.CommandContext(t.Context(), "sh", "-euc", r.args)
				cmd.Dir, cmd.Env = dir, env
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", r.args, err, out[max(0, len(out)-2000):])
				}
			}
		})
	}
}

func TestDockerignore(t *testing.T) {
	for _, file := range glob(t, build+"docker/*.Dockerfile") {
		rules := parseIgnore(t, file+".dockerignore")
		for path, want := range map[string]bool{
			"go.mod": false, "build/kubeedge/go.mod": false, "build/kubeedge/beehive.sh": false, "pkg/media/track.go": false,
			"cloud/pkg/clouddatastream/output/player/assets/player.js": false,
			"build/kubeedge/_beehive/pkg/core/restart.go":              false,
			".git/config": true, "_output/bin/cloudcore": true, "build/docker/cloudcore.Dockerfile": true,
			"pkg/media/track_test.go": true, "tests/testdata/clock.mp4": true, "README.md": true,
		} {
			if got := rules.ignored(path); got != want {
				t.Errorf("%s: %s is ignored: %v, want %v", filepath.Base(file), path, got, want)
			}
		}
	}
}
