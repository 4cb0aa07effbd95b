// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ports finds ports for a test's servers that are free, and stay so until the server listens there or is started again.
//
// They are from below those that systems give to outgoing connections (32768 and up on Linux, 49152 by RFC 6335), so a client that
// keeps dialling a port where nobody listens cannot connect to itself. Each process takes them in turn from a share of its own, so
// tests that run at the same time do not take what another has just found free.
package ports

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
)

const (
	first  = 12000
	shares = 50
	share  = 400 // ports
)

// taken counts the ports that this process has asked for; it goes round in its share.
var taken atomic.Uint32

// Next returns host with the next even port of this process, whose odd neighbour it owns as well. It may be in use.
func Next(host string) string {
	port := first + os.Getpid()%shares*share + int(taken.Add(2))%share
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// Listen listens on a TCP address, and on a free port if that of the address is 0.
func Listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if port != "0" {
		return net.Listen("tcp", address)
	}
	for range share / 2 {
		var l net.Listener
		if l, err = net.Listen("tcp", Next(host)); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no free port: %w", err)
}

// Free returns the address with a port in the place of port 0, on which nobody listens now.
func Free(address string) (string, error) {
	l, err := Listen(address)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
