// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubeedge/datastream/cloud/pkg/streamctl/streamserver"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/target"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
)

// Doctor examines streams.
type Doctor struct {
	Kubernetes kubernetes.Interface
	Rules      versioned.Interface
	// Connect reaches the StreamServer.
	Connect func(context.Context) (*streamserver.Client, error)
	// Namespace of the rules; empty: all.
	Namespace string
	// Probe is how long each stream is watched; 0: not at all.
	Probe time.Duration

	server *streamserver.Client // nil: out of reach
	user   string               // the caller, as the API server knows it
}

// observeTimeout is how long a rule may go without a status, or with an old one, before the controller counts as silent. It
// writes at most one status of a rule a second, and twenty in all.
const observeTimeout = 5 * time.Second

// Run examines the streams that ref names, or all if it is nil. The error is that of ctx.
func (d *Doctor) Run(ctx context.Context, ref *target.Ref) (*Report, error) {
	r := &Report{Checks: d.common(ctx)}
	defer func() {
		if d.server != nil {
			d.server.Close()
		}
	}()
	// Without the API server, or the CRDs, there are no rules to look at.
	if first := r.Checks[len(r.Checks)-1]; first.Name == checkStreamServer {
		rules, check := d.rules(ctx, ref)
		if check != nil {
			failed := Stream{Namespace: d.Namespace, Checks: []Check{*check}}
			if ref != nil {
				failed.Rule, failed.Path = ref.Rule, ref.Path
			}
			r.Streams = append(r.Streams, failed)
		}
		for i := range rules {
			r.Streams = append(r.Streams, d.examineRule(ctx, &rules[i], ref)...)
		}
	}
	r.conclude()
	return r, ctx.Err()
}

// rules returns what to examine, or why that is not known.
func (d *Doctor) rules(ctx context.Context, ref *target.Ref) ([]v1alpha1.StreamRule, *Check) {
	client := d.Rules.StreamrulesV1alpha1().StreamRules(d.Namespace)
	if ref == nil {
		list, err := client.List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, d.unreadable(err)
		}
		return list.Items, nil
	}
	rule, err := client.Get(ctx, ref.Rule, metav1.GetOptions{})
	switch {
	case err == nil:
		return []v1alpha1.StreamRule{*rule}, nil
	case apierrors.IsNotFound(err):
		return nil, d.ruleMissing(ctx, ref.Rule)
	default:
		return nil, d.unreadable(err)
	}
}

func (d *Doctor) unreadable(err error) *Check {
	if !apierrors.IsForbidden(err) {
		return &Check{checkRule, Fail, "APIServerRefuses", "the API server does not give the rules: " + err.Error(), "kubectl get streamrules -A"}
	}
	return &Check{checkRights, Fail, "NoRightToList", err.Error(), d.bindRole("datastream-viewer", d.Namespace)}
}

// ruleMissing looks for a rule of about that name.
func (d *Doctor) ruleMissing(ctx context.Context, name string) *Check {
	c := &Check{checkRule, Fail, "RuleMissing", fmt.Sprintf("there is no StreamRule %s in namespace %s", name, d.Namespace), "kubectl get streamrules -A"}
	list, err := d.Rules.StreamrulesV1alpha1().StreamRules(d.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return c
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	if like := closest(name, names); like != "" {
		c.Message += ", but there is " + like
		c.Next = fmt.Sprintf("kubectl streams doctor %s -n %s", like, d.Namespace)
	}
	return c
}

func (d *Doctor) examineRule(ctx context.Context, rule *v1alpha1.StreamRule, ref *target.Ref) []Stream {
	rule, observed := d.observed(ctx, rule)
	if ref == nil {
		ref = &target.Ref{Rule: rule.Name}
	}
	targets, err := ref.Select(rule)
	if err != nil {
		return []Stream{{Namespace: rule.Namespace, Rule: rule.Name, Path: ref.Path, Node: ref.Node, Checks: []Check{{checkRule, Fail, "PathMissing",
			err.Error(), fmt.Sprintf("kubectl streams list -n %s", rule.Namespace)}}}}
	}
	var streams []Stream
	for i := range targets {
		e := examination{Doctor: d, rule: rule, observed: observed, target: &targets[i]}
		s := titled(&targets[i])
		s.Checks = e.run(ctx)
		streams = append(streams, s)
	}
	return streams
}

// observed waits for a status that is about the rule as it is now.
func (d *Doctor) observed(ctx context.Context, rule *v1alpha1.StreamRule) (*v1alpha1.StreamRule, bool) {
	ctx, cancel := context.WithTimeout(ctx, observeTimeout)
	defer cancel()
	for rule.Status.ObservedGeneration < rule.Generation {
		if pause(ctx, 250*time.Millisecond) != nil {
			return rule, false
		}
		newer, err := d.Rules.StreamrulesV1alpha1().StreamRules(rule.Namespace).Get(ctx, rule.Name, metav1.GetOptions{})
		if err != nil {
			return rule, false
		}
		rule = newer
	}
	return rule, true
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Names of checks.
const (
	checkAPIServer    = "api-server"
	checkCRDs         = "crds"
	checkStreamServer = "stream-server"
	checkRights       = "rights"
	checkRule         = "rule"
	checkEndpoint     = "endpoint"
	checkCredentials  = "credentials"
	checkNode         = "node"
	checkDelivery     = "delivery"
	checkTunnel       = "tunnel"
	checkControl      = "control"
	checkSource       = "source"
	checkOutput       = "output"
	checkProbe        = "probe"
)

// common checks what all streams need.
func (d *Doctor) common(ctx context.Context) []Check {
	checks := []Check{d.apiServer()}
	if checks[0].Level == OK {
		d.user = d.whoAmI(ctx)
		checks = append(checks, d.crds())
	}
	if last := checks[len(checks)-1]; last.Level != Fail {
		checks = append(checks, d.streamServer(ctx))
	}
	return checks
}

func (d *Doctor) apiServer() Check {
	version, err := d.Kubernetes.Discovery().ServerVersion()
	switch {
	case err == nil:
		return Check{Name: checkAPIServer, Level: OK, Message: version.GitVersion}
	case apierrors.ReasonForError(err) != metav1.StatusReasonUnknown:
		return Check{checkAPIServer, Fail, "APIServerRefuses", "the API server answers: " + err.Error(), "kubectl auth whoami"}
	default:
		return Check{checkAPIServer, Fail, "APIServerUnreachable", err.Error(), "kubectl cluster-info"}
	}
}

// crds looks for the kinds, in the version that this program knows.
func (d *Doctor) crds() Check {
	const next = "kubectl apply --server-side -k build/crds"
	version := v1alpha1.SchemeGroupVersion.String()
	list, err := d.Kubernetes.Discovery().ServerResourcesForGroupVersion(version)
	if apierrors.IsNotFound(err) {
		groups, errGroups := d.Kubernetes.Discovery().ServerGroups()
		if errGroups == nil {
			for _, g := range groups.Groups {
				if g.Name == v1alpha1.SchemeGroupVersion.Group {
					return Check{checkCRDs, Fail, "CRDVersion", fmt.Sprintf("the CRDs are there, but not in version %s: they have %s", version, g.PreferredVersion.GroupVersion), next}
				}
			}
		}
		return Check{checkCRDs, Fail, "CRDsMissing", "the API server does not know StreamRules: the CRDs are not installed", next}
	}
	if err != nil {
		return Check{checkCRDs, Fail, "APIServerRefuses", "asking for " + version + ": " + err.Error(), "kubectl api-resources --api-group=" + v1alpha1.SchemeGroupVersion.Group}
	}
	missing := map[string]bool{"streamrules": true, "streamruleendpoints": true, "streamrules/status": true}
	for i := range list.APIResources {
		delete(missing, list.APIResources[i].Name)
	}
	for name := range missing {
		return Check{checkCRDs, Fail, "CRDsMissing", "the API server does not know " + name + ": a CRD is not installed, or an old one", next}
	}
	return Check{Name: checkCRDs, Level: OK, Message: version}
}

func (d *Doctor) streamServer(ctx context.Context) Check {
	server, err := d.Connect(ctx)
	if err != nil {
		var why *streamserver.ConnectError
		if !errors.As(err, &why) {
			why = &streamserver.ConnectError{Code: streamserver.Unreachable, Next: "kubectl streams doctor --help", Err: err}
		}
		return Check{checkStreamServer, Fail, why.Code, err.Error(), why.Next}
	}
	d.server = server
	if err := server.Ready(ctx); err != nil {
		return Check{checkStreamServer, Fail, "StreamServerNotReady", err.Error(),
			"kubectl -n kubeedge logs deployment/cloudcore | grep -i -e datastream -e streamrule"}
	}
	return Check{Name: checkStreamServer, Level: OK, Message: "ready, at " + server.Address()}
}

// whoAmI is the caller's name, or a word that stands for it.
func (d *Doctor) whoAmI(ctx context.Context) string {
	me, err := d.Kubernetes.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "YOU"
	}
	return me.Status.UserInfo.Username
}
