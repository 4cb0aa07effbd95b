// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tunnel is the protocol between edge and cloud: one WebSocket per target, JSON control
// in text messages, one access unit in each binary message. docs/protocol.md describes it in full.
package tunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/kubeedge/datastream/pkg/media"
)

// Subprotocol is the WebSocket subprotocol that both ends must name.
const Subprotocol = "v1.datastream.kubeedge.io"

const (
	wireVersion = 1
	// HeaderSize is the length in bytes of the header in front of each payload.
	HeaderSize = 32
	// DefaultMaxPayload bounds an access unit's payload in bytes; a 4K key frame is about 2 MiB.
	DefaultMaxPayload = 8 << 20
)

const (
	flagRandomAccess = 1 << iota
	flagDisposable
	flagDiscontinuity
	flagsKnown = flagRandomAccess | flagDisposable | flagDiscontinuity
)

// Limits of timestamps. They keep sums and unit conversions far from overflow.
const (
	maxTimestamp = 1 << 56
	maxDTSOffset = 1 << 30
)

// ErrMalformed is wrapped by every error about bytes that do not follow the protocol.
var ErrMalformed = errors.New("malformed message")

// AppendHeader appends the header of u; the payload follows it on the wire. All integers are big-endian.
//
//	 0  version (1)      1  track        2  flags (16 bit)
//	 4  PTS-DTS (32 bit signed, ticks)   8  sequence (64 bit)
//	16  PTS (64 bit signed, ticks)      24  capture time (64 bit signed, microseconds since 1970, 0 if unknown)
func AppendHeader(dst []byte, u *media.AccessUnit) []byte {
	var flags uint16
	if u.RandomAccess {
		flags |= flagRandomAccess
	}
	if u.Disposable {
		flags |= flagDisposable
	}
	if u.Discontinuity {
		flags |= flagDiscontinuity
	}
	var capture int64
	if !u.Capture.IsZero() {
		capture = u.Capture.UnixMicro()
	}
	dst = append(dst, wireVersion, u.Track)
	dst = binary.BigEndian.AppendUint16(dst, flags)
	dst = binary.BigEndian.AppendUint32(dst, uint32(u.DTSOffset))
	dst = binary.BigEndian.AppendUint64(dst, u.Sequence)
	dst = binary.BigEndian.AppendUint64(dst, uint64(u.PTS))
	return binary.BigEndian.AppendUint64(dst, uint64(capture))
}

// ParseHeader reads a header. The returned unit has no payload yet. Errors wrap ErrMalformed.
func ParseHeader(b []byte) (media.AccessUnit, error) {
	var u media.AccessUnit
	if len(b) < HeaderSize {
		return u, fmt.Errorf("%w: access unit of %d bytes is shorter than its header", ErrMalformed, len(b))
	}
	if b[0] != wireVersion {
		return u, fmt.Errorf("%w: access unit of version %d, want %d", ErrMalformed, b[0], wireVersion)
	}
	flags := binary.BigEndian.Uint16(b[2:])
	if flags&^flagsKnown != 0 {
		return u, fmt.Errorf("%w: unknown flags %#x", ErrMalformed, flags)
	}
	u.Track = b[1]
	u.RandomAccess = flags&flagRandomAccess != 0
	u.Disposable = flags&flagDisposable != 0
	u.Discontinuity = flags&flagDiscontinuity != 0
	u.DTSOffset = int32(binary.BigEndian.Uint32(b[4:]))
	u.Sequence = binary.BigEndian.Uint64(b[8:])
	u.PTS = int64(binary.BigEndian.Uint64(b[16:]))
	capture := int64(binary.BigEndian.Uint64(b[24:]))
	if u.PTS > maxTimestamp || u.PTS < -maxTimestamp || u.DTSOffset > maxDTSOffset || u.DTSOffset < -maxDTSOffset ||
		capture < 0 || capture > maxTimestamp {
		return u, fmt.Errorf("%w: timestamps out of range", ErrMalformed)
	}
	if capture != 0 {
		u.Capture = time.UnixMicro(capture)
	}
	return u, nil
}
