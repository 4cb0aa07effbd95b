// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package mse

import (
	"encoding/binary"
	"encoding/json"

	"github.com/gorilla/websocket"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

type initMessage struct {
	Type    string                `json:"type"`
	Value   string                `json:"value"`
	Skipped []tunnel.SkippedTrack `json:"skipped,omitempty"`
}

type statusMessage struct {
	Type   string        `json:"type"`
	Status output.Status `json:"status"`
}

type syncMessage struct {
	Type string `json:"type"`
	// PTS is in seconds; Captured and Now are Unix times in milliseconds.
	PTS      float64 `json:"pts"`
	Captured int64   `json:"captured"`
	Now      int64   `json:"now"`
}

type endMessage struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// frameHeader is the most that goes in front of a message.
const frameHeader = 1 + 1 + 8

// appendFrame appends a message as a server sends it: as one frame, not masked (RFC 6455, 5.2). It is framed
// once and the bytes are shared by all viewers; a websocket.PreparedMessage shares too, but takes three times as long
// to make and twice the memory, and can only be written one at a time.
func appendFrame(dst []byte, messageType int, data []byte) []byte {
	dst = append(dst, 0x80|byte(messageType)) // final
	switch n := len(data); {
	case n < 126:
		dst = append(dst, byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
	return append(dst, data...)
}

// newFrame frames data in memory of its own.
func newFrame(messageType int, data []byte) []byte {
	return appendFrame(make([]byte, 0, frameHeader+len(data)), messageType, data)
}

// newText frames a message as JSON.
func newText(message any) ([]byte, error) {
	data, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	return newFrame(websocket.TextMessage, data), nil
}
