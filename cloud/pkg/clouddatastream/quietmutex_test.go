// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// logProbe is a log that looks, at each line, whether the mutex is free.
type logProbe struct {
	*testing.T
	mu    *quietMutex
	lines []string // their messages
}

func (p *logProbe) Write(line []byte) (int, error) {
	if !p.mu.TryLock() {
		p.Fatalf("the mutex is held while the log is written to: %s", line)
	}
	p.mu.Mutex.Unlock()
	_, message, _ := strings.Cut(string(line), `msg="`)
	message, _, _ = strings.Cut(message, `"`)
	p.lines = append(p.lines, message)
	return len(line), nil
}

// Whoever waits for a stream's mutex does not wait for the log.
func TestLogIsWrittenWithoutTheMutex(t *testing.T) {
	r := newRig(t)
	probe := &logProbe{T: t, mu: &r.mu}
	defer klog.CaptureState().Restore()
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(probe, nil)))

	r.mustConnect(1)
	a, detach := r.attach()
	defer detach()
	r.setState(r.tunnel, &tunnel.State{State: tunnel.Failed, Reason: "Timeout"})
	now := time.Now()
	r.Tick(now)
	r.Tick(now.Add(r.cfg.holdTime))
	r.mu.Lock()
	r.fail("rec", a, errors.New("it cannot go on"))
	r.fail("rec", a, errors.New("nor can this one"))
	r.mu.Unlock()
	want := []string{"Stream state", "Stream stalled for longer than the hold time, viewers are let go", "Output ended", "Output ended"}
	if !slices.Equal(probe.lines, want) {
		t.Errorf("%q, want %q", probe.lines, want)
	}
}
