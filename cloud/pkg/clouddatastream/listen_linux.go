// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"crypto/tls"
	"net"

	"golang.org/x/sys/unix"
)

// unsentBacklog is how many bytes may wait in the kernel for a viewer's link, beside what is under way. Without a bound the
// kernel takes megabytes, which is minutes of a small stream: a viewer on a slow link would fall behind where
// nothing can be left out any more.
const unsentBacklog = 64 << 10

// boundBacklog sets TCP_NOTSENT_LOWAT (tcp(7)) on a viewer's connection. It is an http.Server.ConnContext.
func boundBacklog(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		if raw, err := t.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { // without it the viewer is merely later
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBacklog)
			})
		}
	}
	return ctx
}
