// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
)

// Limits of the CRD. It counts characters and this package bytes, of which there are never less.
const (
	maxState    = 63
	maxEndpoint = 253
	maxReason   = 256
	maxMessage  = 1024
	maxCodecs   = 16
	maxTargets  = 128
)

// statusOf returns the status of a rule. Times and what others have put into the status are taken over from the present
// one.
func statusOf(rule *streamrules.StreamRule, targets []observation, now time.Time) streamrules.StreamRuleStatus {
	status := streamrules.StreamRuleStatus{
		ObservedGeneration: rule.Generation,
		Conditions:         slices.Clone(rule.Status.Conditions),
		DesiredTargets:     int32(len(targets)),
	}
	for _, c := range conditions(targets) {
		c.ObservedGeneration, c.LastTransitionTime = rule.Generation, metav1.NewTime(now).Rfc3339Copy()
		meta.SetStatusCondition(&status.Conditions, c)
	}
	for i := range targets {
		t := targetStatus(&targets[i])
		if t.State.Connected() && targets[i].problem == nil {
			status.ConnectedTargets++
		}
		if t.State == streamrules.TargetStreaming {
			status.StreamingTargets++
		}
		if len(status.Targets) == maxTargets {
			continue // they still count
		}
		if old := findTarget(rule.Status.Targets, &t); old != nil && old.State == t.State {
			t.LastTransitionTime = old.LastTransitionTime
		}
		if t.LastTransitionTime == nil {
			at := metav1.NewTime(now).Rfc3339Copy()
			t.LastTransitionTime = &at
		}
		status.Targets = append(status.Targets, t)
	}
	return status
}

func findTarget(targets []streamrules.StreamTargetStatus, like *streamrules.StreamTargetStatus) *streamrules.StreamTargetStatus {
	for i := range targets {
		if targets[i].Node == like.Node && targets[i].Path == like.Path {
			return &targets[i]
		}
	}
	return nil
}

func targetStatus(o *observation) streamrules.StreamTargetStatus {
	t := streamrules.StreamTargetStatus{
		Node: o.node(), Path: o.spec.TargetResource.Path, Endpoint: clip(o.spec.EndpointRef, maxEndpoint),
	}
	t.State, t.Reason, t.Message = o.state()
	t.Reason, t.Message = clip(t.Reason, maxReason), clip(t.Message, maxMessage)
	if o.stream != nil {
		t.Codecs = o.stream.Codecs[:min(len(o.stream.Codecs), maxCodecs)]
		t.Viewers = int32(o.stream.Viewers)
	}
	return t
}

func (o *observation) node() string { return o.spec.TargetResource.NodeName }

// state says what the target does and why.
func (o *observation) state() (state streamrules.TargetState, reason, message string) {
	switch {
	case o.problem != nil && missing(o.problem):
		return streamrules.TargetEndpointMissing, o.problem.reason, o.problem.message
	case o.problem != nil:
		return streamrules.TargetFailed, o.problem.reason, o.problem.message
	case o.starved():
		return streamrules.TargetFailed, o.doubt.reason, o.doubt.message
	case o.stream != nil && o.stream.State != string(streamrules.TargetAway):
		return streamrules.TargetState(clip(o.stream.State, maxState)), o.stream.Reason, o.stream.Message
	case o.reachable && !o.delivered:
		return streamrules.TargetAway, streamrules.ReasonDelivering, "node " + o.node() + " has not confirmed its latest assignment"
	case o.reachable:
		return streamrules.TargetAway, streamrules.ReasonNodeAway, "node " + o.node() + " has not opened the tunnel of this target"
	default:
		return streamrules.TargetAway, streamrules.ReasonNodeAway, "node " + o.node() + " is not connected"
	}
}

// starved reports whether the target fails for want of the credentials that the cloud does not know.
func (o *observation) starved() bool {
	return o.doubt != nil && o.stream != nil && o.stream.State == string(streamrules.TargetFailed) && o.stream.Reason == streamrules.ReasonCredentialsMissing
}

// missing reports whether something does not exist that a target refers to.
func missing(p *problem) bool {
	return p.reason == streamrules.ReasonEndpointMissing || p.reason == streamrules.ReasonCredentialsMissing
}

// unresolved reports whether the endpoint or its Secret, not its node, is to blame.
func (p *problem) unresolved() bool {
	switch p.reason {
	case reasonInvalidEndpoint, streamrules.ReasonCredentialsForbidden, streamrules.ReasonCredentialsInvalid:
		return true
	default:
		return missing(p)
	}
}

func conditions(targets []observation) []metav1.Condition {
	var ready, endpoints, delivery complaints
	for i := range targets {
		o := &targets[i]
		state, _, message := o.state()
		at := o.node() + o.spec.TargetResource.Path
		switch {
		case o.problem != nil:
			ready.add(problemRank, o.problem.reason, o.problem.message)
		case state == streamrules.TargetAway && o.reachable && !o.delivered:
			ready.add(deliveringRank, streamrules.ReasonDelivering, message)
		case state == streamrules.TargetAway:
			ready.add(awayRank, streamrules.ReasonNodeAway, message)
		case !o.delivered:
			ready.add(deliveringRank, streamrules.ReasonDelivering, "node "+o.node()+" has not confirmed its latest assignment")
		case state == streamrules.TargetFailed:
			ready.add(failedRank, streamrules.ReasonSourceFailed, at+": "+cmp.Or(message, o.stream.Reason, "the data source cannot be read"))
		case o.doubt != nil:
			ready.add(doubtRank, o.doubt.reason, o.doubt.message)
		}
		switch {
		case o.problem != nil && o.problem.unresolved():
			endpoints.add(problemRank, o.problem.reason, o.problem.message)
		case o.problem == nil && o.doubt != nil:
			endpoints.add(doubtRank, o.doubt.reason, o.doubt.message)
		}
		switch {
		case o.delivered || !isNodeName(o.node()):
		case o.reachable:
			delivery.add(deliveringRank, streamrules.ReasonDelivering, "node "+o.node()+" has not confirmed its latest assignment")
		default:
			delivery.add(awayRank, streamrules.ReasonNodeAway, "node "+o.node()+" is not connected")
		}
	}
	return []metav1.Condition{
		ready.condition(streamrules.ConditionReady, streamrules.ReasonReady, "every target can be watched"),
		endpoints.condition(streamrules.ConditionEndpointsResolved, streamrules.ReasonResolved, "every endpoint exists"),
		delivery.condition(streamrules.ConditionDelivered, streamrules.ReasonDelivered, "every node runs its latest assignment"),
	}
}

// Ranks of complaints: the lowest says best what to do.
const (
	problemRank = iota
	awayRank
	deliveringRank
	failedRank
	doubtRank
)

// complaints are why a condition is not True, in the order of targets.
type complaints []complaint

type complaint struct {
	rank            int
	reason, message string
}

func (c *complaints) add(rank int, reason, message string) {
	if added := (complaint{rank, reason, message}); !slices.Contains(*c, added) {
		*c = append(*c, added)
	}
}

// condition is True if there are no complaints; else it names the first of the lowest rank and counts the others.
func (c complaints) condition(kind, reason, message string) metav1.Condition {
	if len(c) == 0 {
		return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message}
	}
	worst := slices.MinFunc(c, func(a, b complaint) int { return cmp.Compare(a.rank, b.rank) })
	return metav1.Condition{Type: kind, Status: statusFor(worst.reason), Reason: worst.reason, Message: andMore(worst.message, len(c)-1)}
}

// statusFor is the status of a condition that is not True for that reason.
func statusFor(reason string) metav1.ConditionStatus {
	if reason == streamrules.ReasonCredentialsUnknown {
		return metav1.ConditionUnknown
	}
	return metav1.ConditionFalse
}

// andMore is a message that stands for some others too.
func andMore(message string, others int) string {
	if others == 0 {
		return clip(message, maxMessage)
	}
	more := fmt.Sprintf(" (and %d more)", others)
	return clip(message, maxMessage-len(more)) + more
}

// endpointStatusOf returns the status of an endpoint with that problem, which may be nil.
func endpointStatusOf(e *streamrules.StreamRuleEndpoint, problem *problem, now time.Time) streamrules.StreamRuleEndpointStatus {
	status := streamrules.StreamRuleEndpointStatus{
		ObservedGeneration: e.Generation, Conditions: slices.Clone(e.Status.Conditions),
	}
	ready := metav1.Condition{
		Type: streamrules.ConditionReady, Status: metav1.ConditionTrue, Reason: streamrules.ReasonReady, Message: "the endpoint can be used",
		ObservedGeneration: e.Generation, LastTransitionTime: metav1.NewTime(now).Rfc3339Copy(),
	}
	if problem != nil {
		ready.Status, ready.Reason, ready.Message = statusFor(problem.reason), problem.reason, clip(problem.message, maxMessage)
	}
	meta.SetStatusCondition(&status.Conditions, ready)
	return status
}

// difference is how much two statuses differ.
type difference int

const (
	same difference = iota
	viewersOnly
	states
)

func compare(a, b *streamrules.StreamRuleStatus) difference {
	if apiequality.Semantic.DeepEqual(a, b) {
		return same
	}
	counted := b.DeepCopy()
	for i := range counted.Targets[:min(len(a.Targets), len(counted.Targets))] {
		counted.Targets[i].Viewers = a.Targets[i].Viewers
	}
	if apiequality.Semantic.DeepEqual(a, counted) {
		return viewersOnly
	}
	return states
}

// clip cuts text to n bytes, at a character.
func clip(text string, n int) string {
	if len(text) > n {
		text = text[:n]
	}
	return strings.ToValidUTF8(text, "")
}
