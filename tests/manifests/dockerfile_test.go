// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"encoding/json"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// instruction is one of a Dockerfile: NAME --flags args.
type instruction struct {
	name, args string
	flags      []string
}

// words are the arguments of instructions that are no shell commands.
func (i instruction) words() []string { return strings.Fields(i.args) }

// dockerfile is its stages, each begun by FROM.
type dockerfile [][]instruction

var continued = regexp.MustCompile(`\\\n(\s*#.*\n)*`)

func parseDockerfile(t *testing.T, file string) dockerfile {
	t.Helper()
	var d dockerfile
	for line := range strings.Lines(continued.ReplaceAllString(string(read(t, file)), " ")) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" || name[0] == '#' {
			continue
		}
		i := instruction{name: name}
		for rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "--"); rest = strings.TrimSpace(rest) {
			var option string
			option, rest, _ = strings.Cut(rest, " ")
			i.flags = append(i.flags, option)
		}
		i.args = rest
		if name == "FROM" {
			d = append(d, nil)
		}
		if len(d) == 0 {
			t.Fatalf("%s: %s before FROM", file, name)
		}
		d[len(d)-1] = append(d[len(d)-1], i)
	}
	return d
}

// all returns the stage's instructions of that name.
func all(stage []instruction, name string) []instruction {
	return slices.DeleteFunc(slices.Clone(stage), func(i instruction) bool { return i.name != name })
}

// privileged are the images that cannot do without root, for the reason that stands above their USER.
var privileged = map[string]bool{"edgecore.Dockerfile": true}

func TestDockerfiles(t *testing.T) {
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(read(t, build+"kubeedge/go.mod"))
	if own := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(read(t, "../../go.mod")); string(own[1]) != string(version[1]) {
		t.Errorf("build/kubeedge is for Go %s, the main module for %s", version[1], own[1])
	}
	for _, file := range glob(t, build+"docker/*.Dockerfile") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			d := parseDockerfile(t, file)
			if len(d) != 2 {
				t.Fatalf("%d stages, want a builder and what is shipped", len(d))
			}
			for _, stage := range d {
				from := stage[0].words()
				if _, tag, _ := strings.Cut(path.Base(from[0]), ":"); tag == "" || tag == "latest" {
					t.Errorf("FROM %s is not pinned to a version", from[0])
				}
			}
			if image := d[0][0].words()[0]; !strings.HasPrefix(image, "golang:"+string(version[1])+"-") {
				t.Errorf("FROM %s, while go.mod says go %s", image, version[1])
			}
			checkShipped(t, d, privileged[filepath.Base(file)])
		})
	}
}

// checkShipped checks the last stage: it has what the builder made and nothing else, and runs it as somebody without rights.
func checkShipped(t *testing.T, d dockerfile, root bool) {
	t.Helper()
	builder, shipped := d[0], d[1]
	stage := d[0][0].words() // IMAGE AS NAME
	programs := []string{}
	for _, c := range all(shipped, "COPY") {
		if !slices.Equal(c.flags, []string{"--from=" + stage[len(stage)-1]}) {
			t.Errorf("COPY %v %s does not come from the builder", c.flags, c.args)
		}
		made := slices.ContainsFunc(all(builder, "RUN"), func(r instruction) bool { return strings.Contains(r.args, "-o "+c.words()[0]+" ") })
		if !made {
			t.Errorf("nothing makes %s", c.words()[0])
		}
		programs = append(programs, c.words()[1])
	}
	var entrypoint []string
	if e := all(shipped, "ENTRYPOINT"); len(e) != 1 || json.Unmarshal([]byte(e[0].args), &entrypoint) != nil || len(entrypoint) == 0 {
		t.Errorf("ENTRYPOINT %v: want one, as a JSON list, since there may be no shell", e)
	} else if !slices.Contains(programs, entrypoint[0]) {
		t.Errorf("ENTRYPOINT %v is none of %v", entrypoint, programs)
	}
	users := all(shipped, "USER")
	if len(users) != 1 || !regexp.MustCompile(`^\d+:\d+$`).MatchString(users[0].args) {
		t.Fatalf("USER %v: want one, in numbers, which runAsNonRoot can check", users)
	}
	if got := strings.HasPrefix(users[0].args, "0:"); got != root {
		t.Errorf("USER %s, root is wanted: %v", users[0].args, root)
	}
}

// What kubelet enforces on the Deployment is what the image says.
func TestDeploymentRunsAsTheImage(t *testing.T) {
	image := all(parseDockerfile(t, build+"docker/cloudcore.Dockerfile")[1], "USER")[0].args
	uid, _, _ := strings.Cut(image, ":")
	if !strings.Contains(string(read(t, build+"manifests/cloudcore/deployment-patch.yaml")), "runAsUser: "+uid+"\n") {
		t.Errorf("the image runs as %s, the Deployment as somebody else", image)
	}
}
