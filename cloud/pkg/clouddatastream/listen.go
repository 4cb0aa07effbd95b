// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"net"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// unsentBacklog is how many bytes may wait in the kernel for a viewer's link, beside what is under way. Without a bound the
// kernel takes megabytes, which is minutes of a small stream: a viewer on a slow link would fall behind where
// nothing can be left out any more.
const unsentBacklog = 64 << 10

// boundBacklog tunes a viewer's connection; without it the viewer is merely later. It is an http.Server.ConnContext.
func boundBacklog(ctx context.Context, c net.Conn) context.Context {
	_ = tunnel.TuneSocket(c, tunnel.SocketOptions{UnsentBytes: unsentBacklog})
	return ctx
}

// tunnelListener accepts connections that can carry tunnels.
type tunnelListener struct{ net.Listener }

// Accept implements net.Listener.
func (l tunnelListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err // http.Server looks at its type
	}
	// A socket without these options is served too: pings and deadlines find what the kernel does not.
	_ = tunnel.TuneSocket(c, tunnel.SocketOptions{UserTimeout: tunnel.UserTimeout, MaxRTO: tunnel.MaxRTO, NoKeepAlive: true})
	return tunnel.Watch(c), nil
}
