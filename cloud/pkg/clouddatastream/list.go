// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/limit"
	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const defaultNamespace = "default"

// listed is one stream in the answer to GET /streams.
type listed struct {
	URL string `json:"url"`
	output.Status
}

// handleList answers with the streams of the namespaces in which the caller may list rules, or of ?namespace= if it may there.
func (s *StreamServer) handleList(w http.ResponseWriter, r *http.Request) {
	all := s.all()
	if query := r.URL.Query(); query.Has("namespace") {
		only := query.Get("namespace")
		all = slices.DeleteFunc(all, func(v *VideoSession) bool { return v.key.Namespace != only })
	}
	namespaces := make([]string, len(all))
	for i, v := range all {
		namespaces[i] = v.key.Namespace
	}
	visible, err := viewerauth.From(r.Context()).Visible(r.Context(), namespaces)
	if errors.Is(err, limit.ErrShare) {
		s.limits.refused(string(viewerauth.TooOften))
		writeRetry(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "too many namespaces at once; ?namespace= asks for one",
			metav1.StatusDetails{Kind: "streamrules"})
		return
	}
	if errors.Is(err, limit.ErrFull) {
		s.limits.refused(string(viewerauth.Crowd))
		writeRetry(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "too many ask what they may see at once; ?namespace= asks for one",
			metav1.StatusDetails{Kind: "streamrules"})
		return
	}
	if err != nil {
		s.limits.refused(string(viewerauth.Outage))
		writeRetry(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "the API server cannot be asked what you may see",
			metav1.StatusDetails{Kind: "streamrules"})
		return
	}
	list := []listed{}
	for _, v := range all {
		if !visible[v.key.Namespace] {
			continue
		}
		status, _ := v.Status()
		list = append(list, listed{viewerURL(v.key), status})
	}
	slices.SortFunc(list, func(a, b listed) int { return strings.Compare(a.URL, b.URL) })
	writeJSON(w, list)
}

func viewerURL(k tunnel.StreamKey) string {
	path := "/node/" + k.Node + "/" + k.Rule + k.Path
	if k.Namespace != defaultNamespace {
		path = "/namespaces/" + k.Namespace + path
	}
	return path
}
