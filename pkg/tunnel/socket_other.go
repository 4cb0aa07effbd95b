//go:build !linux

// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import "net"

// TuneSocket needs Linux.
func TuneSocket(net.Conn, SocketOptions) error { return ErrNotTCP }

// SetPacingRate needs Linux.
func SetPacingRate(net.Conn, uint64) error { return ErrNotTCP }

// SocketInfo needs Linux.
func SocketInfo(net.Conn) (TCPInfo, error) { return TCPInfo{}, ErrNotTCP }
