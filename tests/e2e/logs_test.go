// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/kubeedge/datastream/hack/localup/cluster"
)

// The lines that both programs write of a tunnel say which stream it is of. KubeEdge's set-up of klog must not take that away.
func TestLogsNameTheStream(t *testing.T) {
	s := newSpace(t)
	s.set(target(cluster.Camera1, cluster.Edge1))
	line := regexp.MustCompile(`"Tunnel connected".* stream="[^"]*` + s.name)
	for _, program := range []string{cluster.CloudCore, cluster.Edge1} {
		eventually(t, program+"'s log to name the stream of its tunnel", func(context.Context) error {
			text, err := os.ReadFile(env.LogFile(program))
			if err == nil && !line.Match(text) {
				err = fmt.Errorf("no line matches %s", line)
			}
			return err
		})
	}
}
