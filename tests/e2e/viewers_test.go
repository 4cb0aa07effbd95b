// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubeedge/datastream/hack/localup/cluster"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
)

// crowdSize is how many watch while a program is killed.
const crowdSize = 20

// Each program is killed and started again while a crowd watches one stream that passes through all of them.
func TestKilledUnderViewers(t *testing.T) {
	s := newSpace(t)
	watched, other := target(cluster.Camera1, cluster.Edge1), target(cluster.Camera2, cluster.Edge2)
	s.set(watched, other)
	s.settled(watched, other)
	crowd := watch(t, s.url(watched), crowdSize)
	crowd.more(t, enough)
	before := s.truth()

	table := []string{fmt.Sprintf("%-16s %8s %8s %14s %10s", "killed", "viewers", "closed", "without frames", "backwards")}
	for _, tc := range []struct {
		name  string
		ready func(context.Context) error
		// needed says that streams stand still without it, carries that viewers are connected to it.
		needed, carries bool
	}{
		{name: cluster.CloudCore, ready: env.CloudReady, needed: true, carries: true},
		{name: cluster.Edge1, needed: true},
		{name: cluster.Camera1, needed: true},
		{name: cluster.APIServer, ready: env.APIReady},
		{name: cluster.Etcd, ready: env.APIReady},
	} {
		t.Run(tc.name, func(t *testing.T) {
			crowd.forget()
			env.kill(t, tc.name)
			if !tc.needed {
				crowd.more(t, enough)
			}
			env.restart(t, tc.name)
			if tc.ready != nil {
				must(t, tc.ready(patient(t)))
			}
			crowd.more(t, enough)
			s.settled(watched, other)
			if after := s.truth(); !reflect.DeepEqual(after, before) {
				t.Errorf("rule and assignments are\n%+v\nand were before\n%+v", after, before)
			}

			seen := crowd.seen()
			wantClosed := 0
			if tc.carries {
				wantClosed = crowdSize
			}
			if seen.closed != wantClosed {
				t.Errorf("%d connections of viewers were closed, want %d", seen.closed, wantClosed)
			}
			if seen.backwards != 0 {
				t.Errorf("%d frames go backwards", seen.backwards)
			}
			table = append(table, fmt.Sprintf("%-16s %8d %8d %12.1f s %10d",
				tc.name, crowdSize, seen.closed, seen.blank.Seconds(), seen.backwards))
		})
	}
	t.Logf("what viewers see:\n%s", strings.Join(table, "\n"))
}

// truth is what must be the same before and after a fault.
type truth struct {
	uid        types.UID
	generation int64
	spec       v1alpha1.StreamRuleSpec
	stored     map[string]assignment.Assignment
}

// truth reads the space's rule and what each node has stored.
func (s *space) truth() truth {
	s.t.Helper()
	rule, err := s.rules.Get(patient(s.t), ruleName, metav1.GetOptions{})
	must(s.t, err)
	all := truth{rule.UID, rule.Generation, rule.Spec, make(map[string]assignment.Assignment)}
	for _, node := range []string{cluster.Edge1, cluster.Edge2} {
		data, err := os.ReadFile(filepath.Join(s.env.Dir, node, "assignment.json"))
		must(s.t, err)
		all.stored[node], err = assignment.Decode(data)
		must(s.t, err)
	}
	return all
}

// crowd are viewers of one stream.
type crowd []*viewer

// watch starts n viewers, as many of each format as of another. They end with the test.
func watch(t *testing.T, url string, n int) crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	formats := []string{"mp4", "ts", "mse"}
	var c crowd
	for i := range n {
		v := &viewer{format: formats[i%len(formats)], done: make(chan struct{})}
		c = append(c, v)
		go v.run(ctx, url)
	}
	t.Cleanup(func() {
		cancel()
		for _, v := range c {
			<-v.done
		}
	})
	return c
}

// more returns when each viewer has got n more frames than now.
func (c crowd) more(t *testing.T, n int) {
	t.Helper()
	want := make([]int, len(c))
	for i, v := range c {
		want[i] = v.get().frames + n
	}
	eventually(t, "frames of every viewer", func(context.Context) error {
		var errs []error
		for i, v := range c {
			if got := v.get(); got.frames < want[i] {
				errs = append(errs, fmt.Errorf("%s viewer %d has got %d frames of %d", v.format, i, got.frames, want[i]), got.err)
			}
		}
		return errors.Join(errs...)
	})
}

// undisturbed fails the test unless each viewer has seen every frame since forget.
func (c crowd) undisturbed(t *testing.T) {
	t.Helper()
	seen := c.seen()
	if seen.closed != 0 || seen.backwards != 0 || seen.lost != 0 {
		t.Errorf("%d connections of viewers were closed, %d frames go backwards, %d are lost", seen.closed, seen.backwards, seen.lost)
	}
	t.Logf("viewers were without frames for %.2f s at most", seen.blank.Seconds())
}

// forget begins what viewers see anew.
func (c crowd) forget() {
	for _, v := range c {
		v.update(func(s *sight) { s.closed, s.backwards, s.lost, s.blank = 0, 0, 0, 0 })
	}
}

// seen is the sum of what viewers saw, with the longest time that one of them had no frame.
func (c crowd) seen() sight {
	var all sight
	for _, v := range c {
		s := v.get()
		all.closed += s.closed
		all.backwards += s.backwards
		all.lost += s.lost
		all.blank = max(all.blank, s.blank)
	}
	return all
}
