// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"testing"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

func TestProfilesAreOffUnlessGuarded(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  v1alpha1.StreamServer
		want bool
	}{
		{"default", v1alpha1.NewDefaultCloudDataStream().Stream, false},
		{"guarded", v1alpha1.StreamServer{EnableProfiling: true, Authentication: v1alpha1.AuthenticationKubernetes, Listen: "0.0.0.0:10005"}, true},
		{"nobody asked for", v1alpha1.StreamServer{EnableProfiling: true, Authentication: v1alpha1.AuthenticationNone, Listen: "0.0.0.0:10005"}, false},
		{"loopback", v1alpha1.StreamServer{EnableProfiling: true, Authentication: v1alpha1.AuthenticationNone, Listen: "127.0.0.1:10005"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := StreamServer{cfg: c.cfg}
			if got := s.profiles() != nil; got != c.want {
				t.Errorf("profiles are served: %v", got)
			}
		})
	}
}
