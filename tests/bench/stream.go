// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"

	"github.com/kubeedge/datastream/pkg/media"
)

// The stream: 1080p30 with a key frame every two seconds, ten times as large as the others.
const (
	frameRate  = 30
	bitRate    = 4_000_000
	gopFrames  = 2 * frameRate
	keyFactor  = 10
	clockRate  = 90000
	otherBytes = bitRate / 8 * gopFrames / frameRate / (gopFrames - 1 + keyFactor)
)

// track is H.264, 1920x1080.
func track() media.Track {
	return media.Track{
		ID: 1, Kind: media.Video, Codec: media.H264, ClockRate: clockRate,
		SPS: []byte{
			0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00,
			0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
		},
		PPS: []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0},
	}
}

// gop makes the payloads of one group of pictures. Nobody decodes them.
func gop() [][]byte {
	random := rand.NewChaCha8([32]byte{})
	payloads := make([][]byte, gopFrames)
	for i := range payloads {
		size, header := otherBytes, byte(0x41)
		if i == 0 {
			size, header = size*keyFactor, 0x65
		}
		nalu := make([]byte, size)
		_, _ = random.Read(nalu) // never fails
		nalu[0] = header
		payloads[i] = media.JoinNALUs([][]byte{nalu})
	}
	return payloads
}
