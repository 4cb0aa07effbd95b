// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"path/filepath"
	"testing"

	"github.com/kubeedge/datastream/cloud/pkg/certificates"
	"github.com/kubeedge/datastream/hack/localup/cluster"
)

// Stock CloudStream, which is off by default, waits for CloudHub's certificates too, and nothing tells it a second time. Both have
// them, at a start that makes them and at one that finds them.
func TestCloudStreamOn(t *testing.T) {
	t.Parallel()
	o := ownOptions(t)
	stream, tunnel := o.Ports.CloudHub+3, o.Ports.CloudHub+4 // as far from CloudHub's as KubeEdge has them
	file := func(name string) string { return filepath.Join(o.Dir, "pki", name) }
	o.Change = func(name string, modules map[string]any) {
		if name != cluster.CloudCore {
			return
		}
		modules["cloudStream"] = map[string]any{
			"enable": true, "tunnelPort": tunnel, "streamPort": stream,
			// Its tunnels have CloudHub's certificates, and what it shows to the API server is in files.
			"tlsTunnelCAFile": file("none"), "tlsTunnelCertFile": file("none"), "tlsTunnelPrivateKeyFile": file("none"),
			"tlsStreamCAFile": file("ca.crt"), "tlsStreamCertFile": file("kube-apiserver.crt"), "tlsStreamPrivateKeyFile": file("kube-apiserver.key"),
		}
	}
	c := newCluster(t, o)
	s := c.newSpace(t)
	one, two := target(cluster.Camera1, cluster.Edge1), target(cluster.Camera2, cluster.Edge2)
	works := func() {
		s.settled(one, two)
		plays(t, s.url(one), codec1)
		plays(t, s.url(two), codec2)
		certificate := c.secretPair(t, certificates.ServerSecret, certificates.ServerCertKey, certificates.ServerKeyKey).Certificate
		c.shows(t, c.Ports.Tunnel, certificate)
		c.shows(t, tunnel, certificate)
	}
	s.set(one, two)
	works()
	c.kill(t, cluster.CloudCore)
	c.restart(t, cluster.CloudCore)
	must(t, c.CloudReady(patient(t)))
	works()
}
