// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"testing"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

// A ClientHello is all that a handshake costs an attacker, and the cloud signs for it. Others have their turns all the same: frames go on, and who comes
// meanwhile sees the picture.
func TestHandshakesOfHostileViewers(t *testing.T) {
	r := newRig(t, func(c *v1alpha1.CloudDataStream) {
		c.Stream.CertFile, c.Stream.KeyFile = c.Tunnel.CertFile, c.Tunnel.KeyFile
	})
	clientHello := recordClientHello(t)
	r.raid("a ClientHello and nothing else", func(t *testing.T) {
		n := files(t, count(200, 10_000))
		s := besiege(t, siegeOrders{Address: r.viewers, From: attacker.IP, Count: n, Words: clientHello})
		defer s.lift()
		t.Logf("%d connections are held", n)
		eventually(t, "a viewer who comes now to see the picture", func() bool { return r.glance(t) == nil })
		for _, outcome := range []string{"admitted", "delayed", "refused", "dropped"} {
			t.Logf("%s: %v", outcome, r.metric(t, `datastream_viewer_handshakes_total{outcome="`+outcome+`"}`))
		}
	})
	if r.metric(t, `datastream_viewer_handshakes_total{outcome="admitted"}`) == 0 {
		t.Error("handshakes are not counted")
	}
}
