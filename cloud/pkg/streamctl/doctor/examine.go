// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/streamserver"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/target"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
)

// examination is the way of one stream, from its rule to the camera.
type examination struct {
	*Doctor
	rule     *v1alpha1.StreamRule
	observed bool // the rule's status is about the rule as it is
	target   *target.Target

	endpoint *v1alpha1.StreamRuleEndpoint // nil: not known
	state    *output.Status               // what the StreamServer says; nil: nothing
	probe    *probe                       // nil: not done
}

// run goes on until something is broken: what comes behind that is only its consequence. Rights are the caller's own trouble, and the
// rule's status may still tell more.
func (e *examination) run(ctx context.Context) []Check {
	var checks []Check
	for _, step := range []func(context.Context) *Check{
		e.rights, e.ruleStatus, e.findEndpoint, e.credentials, e.node, e.delivery, e.tunnel, e.control, e.watch, e.source, e.output, e.picture,
	} {
		c := step(ctx)
		if c == nil {
			continue
		}
		checks = append(checks, *c)
		if c.Level == Fail && c.Name != checkRights {
			break
		}
	}
	return checks
}

func pass(name, message string) *Check { return &Check{Name: name, Level: OK, Message: message} }

func unknown(name, message string) *Check {
	return &Check{Name: name, Level: Unknown, Message: message}
}

// status is what the rule's status says of the stream; it may be empty.
func (e *examination) status() v1alpha1.StreamTargetStatus {
	if e.target.Status == nil || !e.observed {
		return v1alpha1.StreamTargetStatus{}
	}
	return *e.target.Status
}

// rights asks the StreamServer for the stream's state, and the API server what else the caller may do.
func (e *examination) rights(ctx context.Context) *Check {
	if e.server == nil {
		return e.rightsOnly(ctx)
	}
	state, err := e.server.State(ctx, e.target.Key)
	switch {
	case err == nil:
		e.state = state
	case apierrors.IsUnauthorized(err):
		return e.unauthenticated(err)
	case apierrors.IsForbidden(err):
		return &Check{checkRights, Fail, "NoRightToWatch", err.Error(), e.bindRole("datastream-viewer", e.rule.Namespace)}
	case apierrors.IsNotFound(err):
		return unknown(checkRights, "the StreamServer does not know this stream yet: "+err.Error())
	default:
		return unknown(checkRights, err.Error())
	}
	if e.may(ctx, "update", "control") {
		return pass(checkRights, "you may watch and control it")
	}
	return pass(checkRights, "you may watch it")
}

// rightsOnly asks the API server alone.
func (e *examination) rightsOnly(ctx context.Context) *Check {
	if !e.may(ctx, "get", "stream") {
		return &Check{checkRights, Fail, "NoRightToWatch", "you may not get streamrules/stream of this rule", e.bindRole("datastream-viewer", e.rule.Namespace)}
	}
	return pass(checkRights, "you may watch it")
}

func (e *examination) may(ctx context.Context, verb, subresource string) bool {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Group: v1alpha1.SchemeGroupVersion.Group, Resource: "streamrules", Subresource: subresource,
			Namespace: e.rule.Namespace, Name: e.rule.Name,
		},
	}}
	answer, err := e.Kubernetes.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	return err == nil && answer.Status.Allowed
}

// unauthenticated says why the StreamServer does not know the caller.
func (e *examination) unauthenticated(err error) *Check {
	next := `kubectl streams doctor --token "$(kubectl create token ACCOUNT)"`
	switch e.server.Credential() {
	case streamserver.CredentialToken:
		return &Check{checkRights, Fail, "TokenRefused", err.Error(), "kubectl auth whoami"}
	case streamserver.CredentialCertificate:
		return &Check{checkRights, Fail, "TokenMissing", "your kubeconfig has a client certificate, which this StreamServer does not take (tlsStreamClientCAFile)", next}
	case streamserver.CredentialWithheld:
		return &Check{checkRights, Fail, "TokenMissing", "your token was not sent, since the way to " + e.server.Address() + " is not encrypted",
			"set tlsStreamCertFile and tlsStreamPrivateKeyFile of cloudDataStream.stream, and then --stream-server https://…"}
	default:
		return &Check{checkRights, Fail, "TokenMissing", "your kubeconfig has no token", next}
	}
}

// ruleStatus checks that the controller has seen the rule, and takes it.
func (e *examination) ruleStatus(context.Context) *Check {
	status := e.status()
	switch {
	case !e.observed:
		return &Check{checkRule, Fail, "ControllerSilent", "no status is written for this rule as it is now: StreamRuleController is off, or cannot write",
			"kubectl -n kubeedge logs deployment/cloudcore | grep -i streamrule; is modules.streamRuleController.enable true?"}
	case status.Reason == "InvalidTarget" || status.Reason == "NodeFull":
		return &Check{checkRule, Fail, status.Reason, status.Message, fmt.Sprintf("kubectl -n %s edit streamrule %s", e.rule.Namespace, e.rule.Name)}
	default:
		return pass(checkRule, "the controller has seen it")
	}
}

func (e *examination) findEndpoint(ctx context.Context) *Check {
	ns, name := e.rule.Namespace, e.target.Endpoint
	endpoint, err := e.Rules.StreamrulesV1alpha1().StreamRuleEndpoints(ns).Get(ctx, name, metav1.GetOptions{})
	switch status := e.status(); {
	case apierrors.IsNotFound(err):
		return e.endpointMissing(ctx)
	case err != nil && status.Reason == v1alpha1.ReasonEndpointMissing:
		return &Check{checkEndpoint, Fail, v1alpha1.ReasonEndpointMissing, status.Message, fmt.Sprintf("kubectl -n %s get streamruleendpoints", ns)}
	case err != nil && status.Reason == "InvalidEndpoint":
		return e.invalidEndpoint(status.Message)
	case err != nil:
		return unknown(checkEndpoint, "you may not read it; the rule's status has no complaint")
	}
	e.endpoint = endpoint
	if c := e.endpointReady(); c != nil && c.Reason == "InvalidEndpoint" {
		return e.invalidEndpoint(c.Message)
	}
	return pass(checkEndpoint, name+": "+redact(endpoint.Spec.URL))
}

func (e *examination) invalidEndpoint(message string) *Check {
	return &Check{checkEndpoint, Fail, "InvalidEndpoint", message, fmt.Sprintf("kubectl -n %s edit streamruleendpoint %s", e.rule.Namespace, e.target.Endpoint)}
}

// endpointReady is the endpoint's condition Ready, if that is not True.
func (e *examination) endpointReady() *metav1.Condition {
	c := meta.FindStatusCondition(e.endpoint.Status.Conditions, v1alpha1.ConditionReady)
	if c == nil || c.Status == metav1.ConditionTrue || c.ObservedGeneration < e.endpoint.Generation {
		return nil
	}
	return c
}

// endpointMissing looks for an endpoint of about that name.
func (e *examination) endpointMissing(ctx context.Context) *Check {
	ns, name := e.rule.Namespace, e.target.Endpoint
	c := &Check{checkEndpoint, Fail, v1alpha1.ReasonEndpointMissing, fmt.Sprintf("there is no StreamRuleEndpoint %s in namespace %s", name, ns),
		fmt.Sprintf("kubectl -n %s get streamruleendpoints; kubectl -n %s edit streamrule %s", ns, ns, e.rule.Name)}
	list, err := e.Rules.StreamrulesV1alpha1().StreamRuleEndpoints(ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return c
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	if like := closest(name, names); like != "" {
		c.Message += ", but there is " + like
	}
	return c
}

// redact is a URL without the user and password that may be in it.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(a URL that cannot be parsed)"
	}
	if u.User != nil {
		u.User = url.User("…")
	}
	return strings.ReplaceAll(u.String(), url.PathEscape("…"), "…")
}

func (e *examination) credentials(ctx context.Context) *Check {
	status := e.status()
	if e.endpoint == nil {
		if strings.HasPrefix(status.Reason, credentialsReason) {
			return e.badCredentials(status.Reason, status.Message, "SECRET")
		}
		return nil
	}
	if e.endpoint.Spec.CredentialsSecretRef == nil {
		if u, err := url.Parse(e.endpoint.Spec.URL); err == nil && u.User != nil {
			return pass(checkCredentials, "in the URL, where everybody sees them who may read the endpoint")
		}
		return pass(checkCredentials, "none")
	}
	ns, name := e.rule.Namespace, e.endpoint.Spec.CredentialsSecretRef.Name
	secret, err := e.Kubernetes.CoreV1().Secrets(ns).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return e.badCredentials(v1alpha1.ReasonCredentialsMissing, fmt.Sprintf("there is no Secret %s in namespace %s", name, ns), name)
	case err == nil && secret.Type != corev1.SecretTypeBasicAuth:
		return e.badCredentials(v1alpha1.ReasonCredentialsMissing, fmt.Sprintf("Secret %s is of type %s, not %s", name, secret.Type, corev1.SecretTypeBasicAuth), name)
	case err == nil && len(secret.Data[corev1.BasicAuthUsernameKey]) == 0:
		return e.badCredentials(v1alpha1.ReasonCredentialsMissing, fmt.Sprintf("Secret %s has no %s", name, corev1.BasicAuthUsernameKey), name)
	}
	if c := e.endpointReady(); c != nil { // what cloudcore cannot read, it cannot send
		return e.badCredentials(c.Reason, c.Message, name)
	}
	if strings.HasPrefix(status.Reason, credentialsReason) {
		return e.badCredentials(status.Reason, status.Message, name)
	}
	if err != nil {
		return pass(checkCredentials, "Secret "+name+", which you may not read; cloudcore has no complaint")
	}
	return pass(checkCredentials, "Secret "+name)
}

// credentialsReason begins the reasons for which cloudcore cannot use a Secret.
const credentialsReason = "Credentials"

func (e *examination) badCredentials(reason, message, secret string) *Check {
	ns := e.rule.Namespace
	if reason == v1alpha1.ReasonCredentialsUnknown {
		c := &Check{checkCredentials, Fail, reason, message, fmt.Sprintf("kubectl get --raw='/readyz?verbose'; "+
			"kubectl auth can-i list secrets/%s -n %s --as=system:serviceaccount:kubeedge:cloudcore; kubectl -n kubeedge logs deployment/cloudcore | grep -i credentials", secret, ns)}
		if state, _, _ := e.now(); state == v1alpha1.TargetStreaming || state == v1alpha1.TargetPaused {
			c.Level = Warn // for as long as the node remembers them
		}
		return c
	}
	if reason == v1alpha1.ReasonCredentialsForbidden {
		return &Check{checkCredentials, Fail, reason, message,
			fmt.Sprintf("kubectl -n %[1]s create role cloudcore-%[2]s --verb=list,watch --resource=secrets --resource-name=%[2]s; "+
				"kubectl -n %[1]s create rolebinding cloudcore-%[2]s --role=cloudcore-%[2]s --serviceaccount=kubeedge:cloudcore", ns, secret)}
	}
	return &Check{checkCredentials, Fail, reason, message, makeSecret(ns, secret)}
}

// away says whether the stream has no tunnel, if that is known.
func (e *examination) away() (away, known bool) {
	if e.state != nil {
		return e.state.State == string(v1alpha1.TargetAway), true
	}
	state := e.status().State
	return !state.Connected(), state != ""
}

// node checks the Node object. An edge whose edged is off has none, and streams all the same.
func (e *examination) node(ctx context.Context) *Check {
	name := e.target.Key.Node
	if s := e.status(); s.Reason == "NodeDeleted" || s.Reason == "NodeMissing" { // cloudcore does not let it in
		return &Check{checkNode, Fail, s.Reason, fmt.Sprintf("node %s: %s", name, s.Message), "kubectl get nodes; to let it in again, on node " + name + ": systemctl restart edgecore, or keadm join"}
	}
	away, known := e.away()
	node, err := e.Kubernetes.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && (away || !known):
		if meta.IsStatusConditionTrue(e.rule.Status.Conditions, v1alpha1.ConditionDelivered) { // so it was there
			return pass(checkNode, name+" has no Node object (edged is off), and has confirmed its assignment")
		}
		return e.nodeMissing(ctx)
	case apierrors.IsNotFound(err):
		return pass(checkNode, name+" has no Node object (edged is off), and is connected")
	case err != nil:
		return unknown(checkNode, "you may not read nodes")
	}
	for _, c := range node.Status.Conditions {
		if c.Type != corev1.NodeReady || c.Status == corev1.ConditionTrue {
			continue
		}
		message := fmt.Sprintf("node %s is not ready: %s", name, cmp.Or(c.Message, c.Reason, "Ready is "+string(c.Status)))
		next := "on node " + name + ": systemctl status edgecore"
		if away {
			return &Check{checkNode, Fail, "NodeNotReady", message, next}
		}
		return &Check{checkNode, Warn, "NodeNotReady", message, next}
	}
	return pass(checkNode, name+" is ready")
}

func (e *examination) nodeMissing(ctx context.Context) *Check {
	name := e.target.Key.Node
	c := &Check{checkNode, Fail, "NodeMissing", fmt.Sprintf("there is no node %s, nor is an edge of that name connected", name),
		fmt.Sprintf("kubectl get nodes; kubectl -n %s edit streamrule %s; if the name is right, start edgecore there", e.rule.Namespace, e.rule.Name)}
	list, err := e.Kubernetes.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return c
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	if like := closest(name, names); like != "" {
		c.Message += ", but there is " + like
	}
	return c
}

func (e *examination) delivery(context.Context) *Check {
	status, node := e.status(), e.target.Key.Node
	if away, _ := e.away(); away && status.Reason == v1alpha1.ReasonDelivering {
		return &Check{checkDelivery, Fail, v1alpha1.ReasonDelivering, status.Message,
			"on node " + node + ": journalctl -u edgecore | grep -i -e edgehub -e datastream; its websocket to CloudHub may be down, or edgeDataStream off"}
	}
	c := meta.FindStatusCondition(e.rule.Status.Conditions, v1alpha1.ConditionDelivered)
	if c != nil && c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.ReasonDelivering && strings.Contains(c.Message, "node "+node+" ") {
		return &Check{checkDelivery, Warn, v1alpha1.ReasonDelivering, c.Message, "ask again in a minute"}
	}
	if away, known := e.away(); away || !known {
		return nil // the node is not there to run it
	}
	return pass(checkDelivery, "the node runs its latest assignment")
}

func (e *examination) tunnel(context.Context) *Check {
	away, known := e.away()
	node := e.target.Key.Node
	switch {
	case !known:
		return unknown(checkTunnel, "neither the StreamServer nor the rule's status says")
	case away:
		message := "node " + node + " is not connected to the TunnelServer"
		if status := e.status(); status.Reason == v1alpha1.ReasonNodeAway {
			message = cmp.Or(status.Message, message)
		}
		return &Check{checkTunnel, Fail, "TunnelDown", message,
			"on node " + node + ": systemctl status edgecore; journalctl -u edgecore | grep -i datastream; modules.edgeDataStream.enable must be true, and port 10006 of cloudcore reachable"}
	default:
		return pass(checkTunnel, "connected")
	}
}
