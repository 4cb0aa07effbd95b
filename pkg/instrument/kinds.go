// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package instrument is what the metrics of cloud and edge have in common.
package instrument

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/pkg/media"
)

// KindLabel is the label of a track's kind.
const KindLabel = "kind"

// ByKind is a counter for each kind of track: looked up once, so that counting a unit is an addition.
type ByKind struct{ video, audio, data prometheus.Counter }

// NewByKind looks up the counters of vec, whose labels are others and KindLabel.
func NewByKind(vec *prometheus.CounterVec, others prometheus.Labels) ByKind {
	counter := func(kind media.Kind) prometheus.Counter {
		labels := prometheus.Labels{KindLabel: string(kind)}
		for name, value := range others {
			labels[name] = value
		}
		return vec.With(labels)
	}
	return ByKind{counter(media.Video), counter(media.Audio), counter(media.Data)}
}

// Of is the counter of a kind.
func (k *ByKind) Of(kind media.Kind) prometheus.Counter {
	switch kind {
	case media.Video:
		return k.video
	case media.Audio:
		return k.audio
	default:
		return k.data
	}
}
