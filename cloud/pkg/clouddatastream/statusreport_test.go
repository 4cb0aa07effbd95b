// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

func directoryOf(problem string, paths ...string) assignment.NodeDirectory {
	d := assignment.NodeDirectory{Node: "edge-1", Revision: "r"}
	for _, path := range paths {
		d.Entries = append(d.Entries, assignment.Entry{Namespace: "default", Rule: "door", RuleUID: "uid", Path: path, Problem: problem})
	}
	return d
}

func TestStatusReport(t *testing.T) {
	defer goleak.VerifyNone(t)
	reg := prometheus.NewRegistry()
	streams := newStreamServer(v1alpha1.NewDefaultCloudDataStream(), newMetrics(reg), reg)
	r := newStatusReporter(streams, nil)
	want := func(full bool, states ...string) {
		t.Helper()
		report := r.collect()
		var got []string
		for _, s := range report.Streams {
			got = append(got, fmt.Sprintf("%s %s %s %s %d", s.Key.Path, s.RuleUID, s.State, s.Reason, s.Viewers))
		}
		slices.Sort(got)
		if report.Full != full || !slices.Equal(got, states) {
			t.Errorf("full %t of %q, want %t of %q", report.Full, got, full, states)
		}
	}

	want(false)
	streams.apply(directoryOf("", "/back", "/front"))
	want(false, "/back uid away TunnelDown 0", "/front uid away TunnelDown 0")
	want(false)

	front := streams.find(tunnel.StreamKey{Node: "edge-1", Namespace: "default", Rule: "door", Path: "/front"})
	_, detach, err := front.Attach("mp4")
	if err != nil {
		t.Fatal(err)
	}
	_, detachOther, err := front.Attach("mp4")
	if err != nil {
		t.Fatal(err)
	}
	want(false, "/front uid away TunnelDown 2") // both viewers in one
	detach()
	want(false, "/front uid away TunnelDown 1")
	r.reportAll()
	want(true, "/back uid away TunnelDown 0", "/front uid away TunnelDown 1")
	detachOther()
	want(false, "/front uid away TunnelDown 0")

	streams.apply(directoryOf("no such endpoint", "/front"))
	want(false, "/front uid failed NotResolved 0")
	streams.apply(directoryOf(""))
	streams.apply(directoryOf("", "/front"))
	want(false, "/front uid away TunnelDown 0") // another stream of the same name
	r.reportAll()
	streams.apply(directoryOf(""))
	want(true)
	if len(r.seen) != 0 {
		t.Errorf("%d streams are still there", len(r.seen))
	}
}

func TestCodecs(t *testing.T) {
	tracks := []media.Track{
		{ID: 0, Kind: media.Audio, Codec: media.AAC, ClockRate: 48000, Channels: 2, Config: []byte{0x11, 0x90}},
		{ID: 1, Kind: media.Audio, Codec: media.PCMU, ClockRate: 8000, Channels: 1},
	}
	if got := codecs(tracks); !slices.Equal(got, []string{"mp4a.40.2", "pcmu"}) {
		t.Errorf("codecs %q", got)
	}
}
