// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
)

// cloudcore runs as the user that the manifests bind. It may do what they and KubeEdge's own grant, and no more.
func TestRBAC(t *testing.T) {
	config, err := env.CloudCoreConfig()
	must(t, err)
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	const group = "streamrules.kubeedge.io"
	for _, tc := range []struct {
		allowed     bool
		verb        string
		group, kind string
		subresource string
		namespace   string
		name        string
	}{
		{true, "list", group, "streamrules", "", "", ""},
		{true, "watch", group, "streamrules", "", "", ""},
		{true, "list", group, "streamruleendpoints", "", "", ""},
		{true, "watch", group, "streamruleendpoints", "", "", ""},
		{true, "patch", group, "streamrules", "status", "", ""},
		{true, "patch", group, "streamruleendpoints", "status", "", ""},
		{true, "create", "", "events", "", "", ""},
		{true, "patch", "", "events", "", "", ""},
		{true, "watch", "", "secrets", "", "kubeedge", "casecret"},
		{true, "watch", "", "secrets", "", "kubeedge", "cloudcoresecret"},
		{true, "create", "authentication.k8s.io", "tokenreviews", "", "", ""},
		{true, "create", "authorization.k8s.io", "subjectaccessreviews", "", "", ""},
		{true, "list", "", "secrets", "", "default", "camera"}, // KubeEdge's own grant
		{true, "watch", "", "secrets", "", "default", "camera"},
		{true, "list", "", "nodes", "", "", ""},
		{true, "watch", "", "nodes", "", "", ""},

		{false, "*", "*", "*", "", "", ""},
		{false, "create", group, "streamrules", "", "", ""},
		{false, "update", group, "streamrules", "", "", ""},
		{false, "patch", group, "streamrules", "", "", ""},
		{false, "delete", group, "streamrules", "", "", ""},
		{false, "deletecollection", group, "streamrules", "", "", ""},
		{false, "create", group, "streamruleendpoints", "", "", ""},
		{false, "patch", group, "streamruleendpoints", "", "", ""},
		{false, "delete", group, "streamruleendpoints", "", "", ""},
		{false, "delete", "", "events", "", "", ""},
		{false, "list", "", "events", "", "", ""},
		{false, "delete", "", "secrets", "", "kubeedge", "casecret"},
		{false, "delete", "", "nodes", "", "", ""},
		{false, "create", "", "pods", "exec", "default", ""},
		{false, "create", "rbac.authorization.k8s.io", "clusterrolebindings", "", "", ""},
		{false, "escalate", "rbac.authorization.k8s.io", "clusterroles", "", "", ""},
		{false, "impersonate", "", "users", "", "", ""},
		{false, "get", group, "streamrules", "stream", "", ""}, // cloudcore asks about viewers, it is none
		{false, "update", group, "streamrules", "control", "", ""},
	} {
		name := tc.verb + " " + tc.kind
		if tc.subresource != "" {
			name += "/" + tc.subresource
		}
		t.Run(name, func(t *testing.T) {
			review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(patient(t), &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: tc.verb, Group: tc.group, Resource: tc.kind, Subresource: tc.subresource, Namespace: tc.namespace, Name: tc.name,
				}},
			}, metav1.CreateOptions{})
			must(t, err)
			if review.Status.Allowed != tc.allowed {
				t.Errorf("allowed is %t, want %t: %s", review.Status.Allowed, tc.allowed, review.Status.Reason)
			}
		})
	}

	// And the door is as shut as the review says.
	rules, err := versioned.NewForConfig(config)
	must(t, err)
	err = rules.StreamrulesV1alpha1().StreamRules(metav1.NamespaceDefault).Delete(patient(t), "any", metav1.DeleteOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("deleting a rule is answered with %v, want 403", err)
	}
}
