// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"time"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/picture"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/streamserver"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const (
	// stateInterval is how often the stream's state is asked for while a probe waits.
	stateInterval = 250 * time.Millisecond
	// waitLimit bounds the wait for the first picture: the StreamServer itself waits ten seconds, by default.
	waitLimit = 30 * time.Second
	// patience is how much longer a probe lasts for the sake of a second key frame.
	patience = 12 * time.Second
	// failurePatience is how long a camera that has failed may take to come after all: the node tries again after a second.
	failurePatience = 3 * time.Second
)

// probe is what happened to a viewer.
type probe struct {
	seen    *picture.Measurement // nil: nothing came
	err     error                // why nothing came, or why it ended
	failure *output.Status       // the last failure of the source meanwhile
}

// startProbe watches a stream for the given time and returns what came of it.
func startProbe(ctx context.Context, server *streamserver.Client, key tunnel.StreamKey, long time.Duration) *probe {
	ctx, cancel := context.WithTimeout(ctx, waitLimit+long+patience)
	defer cancel()
	p, done := new(probe), make(chan struct{})
	go func() {
		defer close(done)
		p.watch(ctx, server, key, long)
	}()
	t := time.NewTicker(stateInterval)
	defer t.Stop()
	var failure *output.Status
	var failed time.Time
	for {
		select {
		case <-done:
			if p.failure = failure; failure != nil && errors.Is(p.err, context.Canceled) {
				p.err = errors.New(failure.Message)
			}
			return p
		case <-t.C:
			state, err := server.State(ctx, key)
			if err != nil || state.State != string(tunnel.Failed) {
				continue
			}
			if failure = state; failed.IsZero() {
				failed = time.Now()
			}
			if time.Since(failed) >= failurePatience {
				cancel()
			}
		}
	}
}

func (p *probe) watch(ctx context.Context, server *streamserver.Client, key tunnel.StreamKey, long time.Duration) {
	began := time.Now()
	stream, err := server.Watch(ctx, key, "mp4")
	if err != nil {
		p.err = err
		return
	}
	defer stream.Close()
	p.seen, p.err = picture.Measure(stream, began, func(m *picture.Measurement) bool {
		watched := time.Since(began) - m.FirstFrame
		return watched >= long && (m.KeyFrames > 1 || m.Span() > longGOP || watched >= long+patience)
	})
}
