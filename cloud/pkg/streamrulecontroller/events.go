// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned/scheme"
)

// Reasons of Events, beside those of the conditions.
const (
	eventTargetStreaming = "TargetStreaming"
	eventTargetFailed    = "TargetFailed"
)

// newRecorder returns a recorder that writes through client, and what ends it. Without a client it returns nil.
func newRecorder(client typedcorev1.EventsGetter) (recorder record.EventRecorder, stop func()) {
	if client == nil {
		return nil, func() {}
	}
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.Events("")})
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: assignment.ControllerModule}), broadcaster.Shutdown
}

// events tells what happened to a rule. One write of a status becomes at most one Event of each kind, since client-go
// drops Events of an object after the first 25 in a short time.
type events struct{ recorder record.EventRecorder }

// transitions records what changes from the rule's status to after.
func (e events) transitions(rule *streamrules.StreamRule, after *streamrules.StreamRuleStatus) {
	if e.recorder == nil {
		return
	}
	before := &rule.Status
	if c := changed(before, after, streamrules.ConditionEndpointsResolved); c != nil {
		switch {
		case c.Status != metav1.ConditionTrue:
			e.recorder.Event(rule, corev1.EventTypeWarning, c.Reason, c.Message)
		case before.ObservedGeneration != 0: // that a new rule has its endpoints is no news
			e.recorder.Event(rule, corev1.EventTypeNormal, c.Reason, c.Message)
		}
	}
	if c := changed(before, after, streamrules.ConditionDelivered); c != nil && c.Status == metav1.ConditionTrue {
		e.recorder.Event(rule, corev1.EventTypeNormal, c.Reason, c.Message)
	}

	var streaming, failed, away news
	for i := range after.Targets {
		t := &after.Targets[i]
		old := findTarget(before.Targets, t)
		if old != nil && old.State == t.State {
			continue
		}
		switch {
		case t.State == streamrules.TargetStreaming:
			streaming.add(t.Node + t.Path + " is streaming")
		case t.State == streamrules.TargetFailed && t.Reason != reasonInvalidEndpoint: // which was told above
			failed.add(t.Node + t.Path + ": " + t.Message)
		case t.State == streamrules.TargetAway && old != nil && old.State.Connected():
			away.add(t.Node + t.Path + ": " + t.Message)
		}
	}
	e.record(rule, corev1.EventTypeNormal, eventTargetStreaming, streaming)
	e.record(rule, corev1.EventTypeWarning, eventTargetFailed, failed)
	e.record(rule, corev1.EventTypeWarning, streamrules.ReasonNodeAway, away)
}

func (e events) record(rule *streamrules.StreamRule, kind, reason string, n news) {
	if n.count > 0 {
		e.recorder.Event(rule, kind, reason, andMore(n.first, n.count-1))
	}
}

// news are the same for one or more targets.
type news struct {
	first string
	count int
}

func (n *news) add(message string) {
	if n.count == 0 {
		n.first = message
	}
	n.count++
}

// changed returns a condition if its status has changed.
func changed(before, after *streamrules.StreamRuleStatus, kind string) *metav1.Condition {
	was, is := meta.FindStatusCondition(before.Conditions, kind), meta.FindStatusCondition(after.Conditions, kind)
	if is == nil || was != nil && was.Status == is.Status {
		return nil
	}
	return is
}
