// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package clouddatastream

import (
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// usableConnections is so many as wanted, if the process may open so many files: a quarter is for each port, the rest for the rest of cloudcore.
func usableConnections(wanted int) int {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return wanted
	}
	const part, least = 4, 16
	if usable := max(files.Cur/part, least); usable < uint64(wanted) {
		klog.InfoS("Fewer connections than limits.connections: the process may not open so many files", "connections", usable, "files", files.Cur)
		return int(usable)
	}
	return wanted
}
