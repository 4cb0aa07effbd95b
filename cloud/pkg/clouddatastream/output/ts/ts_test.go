// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4/cliptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServe(t *testing.T) {
	clip := cliptest.Load(t, cliptest.BFrames)
	o := New(nil, output.Config{
		MaxBytes:     64 << 20,
		MaxLag:       time.Minute,
		WriteTimeout: 10 * time.Second,
		Metrics:      output.NewMetrics(prometheus.NewRegistry()),
	}).(*Output)
	server := httptest.NewServer(o)
	defer server.Close()
	if err := o.Open(clip.Tracks); err != nil {
		t.Fatal(err)
	}
	half := len(clip.Units) / 2
	for _, u := range clip.Units[:half] {
		if err := o.Write(u); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.Get(server.URL) // joins in the middle
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "video/mp2t" {
		t.Errorf("content type %q", ct)
	}
	first := make([]byte, packetSize)
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	for _, u := range clip.Units[half:] {
		if err := o.Write(u); err != nil {
			t.Fatal(err)
		}
	}
	o.Close()
	rest, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	stream := slices.Concat(first, rest)
	checkContinuity(t, stream, o.writer.lead.pid())
	if types, frames := demux(t, stream); len(types) != 2 || len(frames) != 2 {
		t.Errorf("tracks %v", types)
	}
}
