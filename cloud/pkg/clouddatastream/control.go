// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/emicklei/go-restful/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/pkg/apis/streamrules"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const maxControlBody = 4 << 10

// Parts of a stream's URL, as details.kind of a refusal names them.
const (
	kindNode = "node"
	kindRule = "rule"
	kindPath = "path"
)

// controlRequest is the body of a POST to a stream's URL.
type controlRequest struct {
	Action string `json:"action"`
}

// controlAnswer shows that a control call was taken, though the edge may not have followed yet.
type controlAnswer struct {
	// Desired is what the edge is asked for now. A stream that nobody wants stays at stop, paused or not.
	Desired tunnel.Action `json:"desired"`
	output.Status
}

func (s *StreamServer) handleControl(req *restful.Request, resp *restful.Response) {
	w := resp.ResponseWriter
	video := s.lookup(w, keyOf(req))
	if video == nil {
		return
	}
	if !s.limits.mayControl(w, viewerauth.From(req.Request.Context()).Caller()) {
		return
	}
	var body controlRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, req.Request.Body, maxControlBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil {
		code, reason := http.StatusBadRequest, metav1.StatusReasonBadRequest
		if large := new(http.MaxBytesError); errors.As(err, &large) {
			code, reason = http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge
		}
		writeStatus(w, code, reason,
			fmt.Sprintf(`decoding the body: %v; want {"action": "start|pause|resume|stop"}`, err))
		return
	}
	if err := video.Control(body.Action); err != nil {
		s.refuse(w, video, err)
		return
	}
	klog.InfoS("Stream controlled", "stream", video.key, "action", body.Action, "user", viewerauth.From(req.Request.Context()).User())
	status, _ := video.Status()
	writeJSON(w, controlAnswer{video.asked(), status})
}

// asked returns what the edge is asked for now.
func (v *VideoSession) asked() tunnel.Action {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.action
}

// refuse answers a viewer or a control call that cannot be served.
func (s *StreamServer) refuse(w http.ResponseWriter, video *VideoSession, err error) {
	switch {
	case errors.Is(err, errTooMany):
		s.limits.refused(refusedStream)
		writeRetry(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err.Error(),
			metav1.StatusDetails{Kind: kindPath, Name: video.key.Path})
	case errors.Is(err, errManyOfNode):
		s.limits.refused(refusedNodeViewers)
		writeRetry(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err.Error(),
			metav1.StatusDetails{Kind: kindNode, Name: video.key.Node})
	case errors.Is(err, errServerFull):
		s.limits.refused(refusedServer)
		writeRetry(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err.Error(), metav1.StatusDetails{})
	case errors.Is(err, errManyOfUser):
		s.limits.refused(refusedUser)
		writeRetry(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, err.Error(), metav1.StatusDetails{})
	case errors.Is(err, errRemoved):
		writeStatusDetails(w, http.StatusNotFound, metav1.StatusReasonNotFound, err.Error(),
			&metav1.StatusDetails{Kind: kindPath, Name: video.key.Path, Group: streamrules.GroupName})
	case errors.Is(err, errCannotCarry):
		writeStatus(w, http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable, err.Error())
	case errors.Is(err, errStopped):
		writeStatus(w, http.StatusConflict, metav1.StatusReasonConflict, err.Error()+`; {"action": "start"} starts it`)
	case errors.Is(err, output.ErrUnknownFormat):
		writeStatus(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Sprintf("%v, or %q", err, formatState))
	default:
		writeStatus(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
	}
}

// unavailable answers a viewer that has waited in vain. The details say which part of the URL it is about: the node that is not
// connected, or else the path whose camera sends nothing.
func (s *StreamServer) unavailable(w http.ResponseWriter, video *VideoSession, err error) {
	details := metav1.StatusDetails{Kind: kindPath, Name: video.key.Path}
	if status, _ := video.Status(); status.State == stateAway {
		details.Kind, details.Name = kindNode, video.key.Node
	}
	writeRetry(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err.Error(), details)
}

// lookup returns the stream, or answers with which part of its name is unknown and what there is instead.
func (s *StreamServer) lookup(w http.ResponseWriter, key tunnel.StreamKey) *VideoSession {
	if v := s.find(key); v != nil {
		return v
	}
	s.mu.RLock()
	synced, node := s.synced, s.nodes[key.Node] > 0
	var paths []string
	for k := range s.videos {
		if k.Node == key.Node && k.Namespace == key.Namespace && k.Rule == key.Rule {
			paths = append(paths, k.Path)
		}
	}
	s.mu.RUnlock()
	slices.Sort(paths)

	var kind, name, message string
	switch {
	case !synced:
		writeRetry(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "rules have not been received yet",
			metav1.StatusDetails{Kind: kindRule, Name: key.Rule})
		return nil
	case !node:
		kind, name = kindNode, key.Node
		message = fmt.Sprintf("no StreamRule has a target on node %.253q", key.Node)
	case len(paths) == 0:
		kind, name = kindRule, key.Rule
		message = fmt.Sprintf("no StreamRule %.253q in namespace %.63q has a target on node %s", key.Rule, key.Namespace, key.Node)
	default:
		kind, name = kindPath, key.Path
		message = fmt.Sprintf("StreamRule %s has no target with path %.512q on node %s; it has %s",
			key.Rule, key.Path, key.Node, strings.Join(paths[:min(len(paths), 10)], ", "))
	}
	writeStatusDetails(w, http.StatusNotFound, metav1.StatusReasonNotFound, message,
		&metav1.StatusDetails{Kind: kind, Name: name, Group: streamrules.GroupName})
	return nil
}

// wait returns nil once there is something to show to a viewer of a, and what is missing after the limit.
func (v *VideoSession) wait(ctx context.Context, a *attached, limit time.Duration) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		status, changed := v.Status()
		if ok, err := v.ready(a, time.Now()); ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return fmt.Errorf("stream is %s: %s", status.State, describe(status.Reason, status.Message))
		}
	}
}

func describe(reason, message string) string {
	switch {
	case message != "":
		return message
	case reason != "":
		return reason
	default:
		return "no picture within the time limit"
	}
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(value) // the caller may be gone
}
