//go:build !linux

// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"net"
)

// boundBacklog needs Linux; elsewhere the kernel decides.
func boundBacklog(ctx context.Context, _ net.Conn) context.Context { return ctx }
