// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package assignment

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kubeedge/datastream/pkg/tunnel"
)

// Both are messages of beehive, which prints messages that it cannot deliver.
func TestMessagesAreRedacted(t *testing.T) {
	guarded := target("a", "/1")
	guarded.URL, guarded.Properties["substreamURL"] = "rtsp://canary:canary@192.0.2.10/", "rtsp://canary@192.0.2.10/"
	a := New("edge-1", []Target{guarded})
	d := NodeDirectory{Node: "edge-1", Entries: []Entry{{Credentials: tunnel.NewCredentials("rtsp://192.0.2.10", "canary-user", "canary-password")}}}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	out := string(b) + fmt.Sprintf("%v %+v %#v", d, d, d) + fmt.Sprintf("%v %+v %#v %s", a, a, a, a)
	if strings.Contains(out, "canary") {
		t.Error(out)
	}
}

// Assignments without the flag keep the revisions that nodes run.
func TestRevisionOfOldTargets(t *testing.T) {
	b, err := json.Marshal(target("a", "/1"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "redentials") {
		t.Errorf("%s", b)
	}
}
