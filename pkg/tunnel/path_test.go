// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"net/url"
	"strings"
	"testing"
)

func TestPathRoundTrip(t *testing.T) {
	for _, k := range []StreamKey{
		{"edge-1", "default", "demo", "/camera-001"},
		{"edge-1", "default", "demo", "/hall/2/door"},
		{"node.example.com", "a", "b", "/c"},
		{"edge-1", "default", "demo", "/a b?c#d%2Fe"},
		{"edge-1", "default", "demo", "/caméra/北"},
		{"edge-1", "default", "demo", "/.../revision"},
		{"edge-1", "revision", "revision", "/revision"},
		{strings.Repeat("n", 253), strings.Repeat("s", 253), strings.Repeat("r", 253), "/" + strings.Repeat("p", 511)},
	} {
		if err := k.Validate(); err != nil {
			t.Errorf("%+v: %v", k, err)
			continue
		}
		u, err := url.ParseRequestURI(k.URLPath())
		if err != nil {
			t.Errorf("%+v: %v", k, err)
			continue
		}
		if got, err := ParsePath(u.Path); err != nil || got != k || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("%s: got %+v, %v, want %+v", k.URLPath(), got, err, k)
		}
	}
	want := "/v1/kubeedge/datastream/edge-1/default/demo/camera-001"
	if got := (StreamKey{"edge-1", "default", "demo", "/camera-001"}).URLPath(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPathMalformed(t *testing.T) {
	for _, p := range []string{
		"", "/", "/v1", "/v1/kubeedge/datastream", "/v1/kubeedge/datastream/",
		"v1/kubeedge/datastream/n/s/r/p",
		"/v2/kubeedge/datastream/n/s/r/p",
		"/v1/kubeedge/datastream/n/s/r",
		"/v1/kubeedge/datastream/n/s/r/",
		"/v1/kubeedge/datastream/n/s/r/p/",
		"/v1/kubeedge/datastream/n/s/r//p",
		"/v1/kubeedge/datastream/n/s/r/./p",
		"/v1/kubeedge/datastream/n/s/r/p/..",
		"/v1/kubeedge/datastream//s/r/p",
		"/v1/kubeedge/datastream/n//r/p",
		"/v1/kubeedge/datastream/n/s//p",
		"/v1/kubeedge/datastream/../s/r/p",
		"/v1/kubeedge/datastream/n/./r/p",
		"/v1/kubeedge/datastream/" + strings.Repeat("n", 254) + "/s/r/p",
		"/v1/kubeedge/datastream/n/s/r/" + strings.Repeat("p", 512),
	} {
		if k, err := ParsePath(p); err == nil {
			t.Errorf("%q: got %+v, want an error", p, k)
		}
	}
}

func TestRevisionPath(t *testing.T) {
	if got, want := RevisionPath("edge-1"), "/v1/kubeedge/datastream/edge-1/revision"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := ParsePath(RevisionPath("edge-1")); err == nil {
		t.Error("the path of a report is one of a tunnel too")
	}
}

// FuzzParsePath: whatever is accepted survives the way through a URL, as does its string.
func FuzzParsePath(f *testing.F) {
	f.Add("/v1/kubeedge/datastream/edge-1/default/demo/camera-001")
	f.Add("/v1/kubeedge/datastream/n/s/r/a b?c#d%2Fe")
	f.Add("/v1/kubeedge/datastream/n/s/r/../x")
	f.Add("/v1/kubeedge/datastream/n/revision")
	f.Fuzz(func(t *testing.T, p string) {
		k, err := ParsePath(p)
		if err != nil {
			return
		}
		if pathPrefix+k.String() != p {
			t.Fatalf("%q became %q", p, k)
		}
		u, err := url.ParseRequestURI(k.URLPath())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParsePath(u.Path); err != nil || got != k {
			t.Fatalf("%s: got %+v, %v, want %+v", k.URLPath(), got, err, k)
		}
	})
}
