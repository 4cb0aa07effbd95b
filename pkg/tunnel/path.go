// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// pathPrefix is where the TunnelServer listens for tunnels.
const pathPrefix = "/v1/kubeedge/datastream/"

// StreamKey names one stream: a target's place in the cluster.
type StreamKey struct {
	Node      string
	Namespace string
	Rule      string
	// Path is the target's path with its leading slash.
	Path string
}

func (k StreamKey) String() string { return k.Node + "/" + k.Namespace + "/" + k.Rule + k.Path }

// URLPath is the path that the edge dials for this stream.
func (k StreamKey) URLPath() string {
	u := url.URL{Path: pathPrefix + k.String()}
	return u.EscapedPath()
}

// Validate says what part of the key cannot stand in a URL.
func (k StreamKey) Validate() error {
	for _, part := range [...]struct{ name, value string }{{"node", k.Node}, {"namespace", k.Namespace}, {"rule", k.Rule}} {
		if part.value == "" || len(part.value) > 253 || strings.Contains(part.value, "/") {
			return fmt.Errorf("%s %.64q must have 1 to 253 characters and no slash", part.name, part.value)
		}
		if part.value == "." || part.value == ".." { // an HTTP router would clean it away
			return fmt.Errorf("%s must not be %q", part.name, part.value)
		}
	}
	if len(k.Path) < 2 || len(k.Path) > 512 || k.Path[0] != '/' {
		return fmt.Errorf("path %.64q must begin with a slash and have 2 to 512 characters", k.Path)
	}
	for seg := range strings.SplitSeq(k.Path[1:], "/") {
		if seg == "" || seg == "." || seg == ".." {
			return fmt.Errorf("path %.64q is not clean", k.Path)
		}
	}
	return nil
}

// ParsePath is the inverse of URLPath for a path that is already unescaped (http.Request.URL.Path).
func ParsePath(p string) (StreamKey, error) {
	rest, ok := strings.CutPrefix(p, pathPrefix)
	if !ok {
		return StreamKey{}, errors.New("not a tunnel path")
	}
	parts := strings.SplitN(rest, "/", 4)
	if len(parts) != 4 {
		return StreamKey{}, errors.New("tunnel path is not node/namespace/rule/path")
	}
	k := StreamKey{Node: parts[0], Namespace: parts[1], Rule: parts[2], Path: "/" + parts[3]}
	return k, k.Validate()
}

// RevisionPath is where a node reports the revision of the assignment it runs (POST, a Revision as JSON).
func RevisionPath(node string) string { return pathPrefix + url.PathEscape(node) + "/revision" }

// Revision is the body of that report.
type Revision struct {
	Revision string `json:"revision"`
}
