// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

type sourceFunc func(context.Context, source.Sink) error

func (f sourceFunc) Run(ctx context.Context, sink source.Sink) error { return f(ctx, sink) }

// Tracks that no message has room for end the source's session, not its tunnel. They may also come in the middle of it.
func TestTracksTooLong(t *testing.T) {
	video := media.Track{Kind: media.Video}
	long := video
	long.VPS, long.SPS, long.PPS = make([]byte, 16<<10), make([]byte, 16<<10), make([]byte, 16<<10)
	for _, described := range [][]media.Track{{long}, {video, long}} {
		camera := sourceFunc(func(ctx context.Context, sink source.Sink) error {
			for _, track := range described {
				sink.Tracks([]media.Track{track}, nil)
				sink.Unit(&media.AccessUnit{RandomAccess: true, Payload: []byte{1}})
			}
			<-ctx.Done()
			return ctx.Err()
		})
		sources := source.Registry{"test": func(source.Spec) (source.Source, error) { return camera, nil }}
		s := newStream(tunnel.StreamKey{}, target("test://camera"), v1alpha1.NewDefaultEdgeDataStream(), sources, NewMetrics(prometheus.NewRegistry()))
		r := &rig{stream: s, base: s.sequence}
		r.attach(&tunnel.Hello{})
		r.desire(&tunnel.Desired{Action: tunnel.Start})
		session, ctx := r.begin(t.Context())
		if err := session.run(ctx); !errors.Is(err, errTracks) {
			t.Errorf("the session has ended with %v", err)
		}
		if got, want := len(r.sent()), len(described)-1; got != want {
			t.Errorf("%d units are to be sent, want %d", got, want)
		}
		s.close()
	}
}
