// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package testdata holds the clips that the simulated camera plays. README.md says how they were made.
package testdata

import "embed"

// Clips holds the clips as fragmented MP4 files: clock.mp4, clock-bframes.mp4, clock-gop10s.mp4, clock-h265.mp4.
//
//go:embed *.mp4
var Clips embed.FS
