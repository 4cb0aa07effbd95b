// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package mse

import (
	"fmt"

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
	// Delay is in milliseconds. Arrived and Clock are milliseconds of a clock that nobody sets.
	Delay   int64 `json:"delay"`
	Arrived int64 `json:"arrived"`
	Clock   int64 `json:"clock"`
}

type breakMessage struct {
	Type string  `json:"type"`
	PTS  float64 `json:"pts"` // in seconds
}

type endMessage struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// item is what viewers get at once: messages that are framed once, whose bytes they share.
type item struct {
	messages []*websocket.PreparedMessage
	size     int // of all payloads in bytes
}

// add frames a copy of data.
func (i *item) add(messageType int, data []byte) error {
	m, err := websocket.NewPreparedMessage(messageType, data)
	if err != nil {
		return fmt.Errorf("preparing a message: %w", err)
	}
	i.messages = append(i.messages, m)
	i.size += len(data)
	return nil
}
