// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import "k8s.io/klog/v2"

// EnableModuleRestart answers edgecore's alpha feature gate moduleRestart. Published beehive cannot restart
// modules; whoever asks for it is told.
func EnableModuleRestart() {
	klog.Warning("feature gate moduleRestart has no effect: this beehive does not restart modules")
}

// IsModuleRestartEnabled says whether modules that end are started again.
func IsModuleRestartEnabled() bool { return false }
