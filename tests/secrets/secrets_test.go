// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubeedge/datastream/cloud/pkg/streamrulecontroller"
	config "github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/apiserver"
)

// role lets cloudcore read the Secret camera, as in docs/security.md.
const role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: camera-credentials}
rules:
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [camera]
  verbs: [list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: camera-credentials}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: camera-credentials}
subjects: [{kind: User, name: ` + apiserver.CloudCore + `}]
`

// outage lets no question for Secrets through while it is on.
type outage struct {
	http.RoundTripper
	on *atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (o outage) RoundTrip(r *http.Request) (*http.Response, error) {
	if o.on.Load() && strings.HasSuffix(r.URL.Path, "/secrets") {
		return nil, errors.New("connection refused, by the test")
	}
	return o.RoundTripper.RoundTrip(r)
}

// outbox is the other end of the controller.
type outbox struct {
	edge  chan assignment.Assignment
	cloud chan assignment.NodeDirectory
}

func (o outbox) ToEdge(a assignment.Assignment)     { o.edge <- a }
func (o outbox) ToCloud(d assignment.NodeDirectory) { o.cloud <- d }
func (o outbox) Synced()                            {}
func (o outbox) Waiting(string)                     {}

// cloudcore runs a controller until the test ends. It asks as cloudcore, with what the manifests grant it.
func cloudcore(t *testing.T, down *atomic.Bool) outbox {
	t.Helper()
	own, err := env.Config(apiserver.CloudCore, "system:serviceaccounts")
	must(t, err)
	own.Wrap(func(rt http.RoundTripper) http.RoundTripper { return outage{rt, down} })
	kube, err := kubernetes.NewForConfig(own)
	must(t, err)
	rules, err := versioned.NewForConfig(own)
	must(t, err)
	out := outbox{make(chan assignment.Assignment, 1024), make(chan assignment.NodeDirectory, 1024)}
	c := streamrulecontroller.NewController(config.NewDefaultStreamRuleController(), rules, out, nil, kube.CoreV1())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// directory returns the first directory whose only entry fits.
func (o outbox) directory(t *testing.T, what string, fits func(assignment.Entry) bool) assignment.NodeDirectory {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case d := <-o.cloud:
			if len(d.Entries) == 1 && fits(d.Entries[0]) {
				return d
			}
		case <-late:
			t.Fatalf("no directory with %s", what)
		}
	}
}

// ready waits for the endpoint's condition.
func ready(t *testing.T, yard string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		e, err := env.rules.StreamrulesV1alpha1().StreamRuleEndpoints(yard).Get(ctx, "camera", metav1.GetOptions{})
		must(t, err)
		c := meta.FindStatusCondition(e.Status.Conditions, v1alpha1.ConditionReady)
		if c != nil && c.Status == status && c.Reason == reason {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("Ready is %+v, want %s, %s", c, status, reason)
		case <-time.After(50 * time.Millisecond): // nobody tells us
		}
	}
}

// A cloudcore that starts while the API server does not show it a Secret, be it for want of a Role or otherwise, takes nothing away from the
// node, and goes on by itself once it is shown.
func TestStartWithoutSecrets(t *testing.T) {
	ctx := t.Context()
	ns, err := env.admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "yard-"}}, metav1.CreateOptions{})
	must(t, err)
	yard := ns.Name // a new one each time: it takes a while until a Role that was deleted is of no effect
	_, err = env.admin.CoreV1().Secrets(yard).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "camera"}, Type: corev1.SecretTypeBasicAuth, StringData: map[string]string{"username": "viewer", "password": "one"},
	}, metav1.CreateOptions{})
	must(t, err)
	api := env.rules.StreamrulesV1alpha1()
	endpoint := &v1alpha1.StreamRuleEndpoint{ObjectMeta: metav1.ObjectMeta{Name: "camera"}}
	endpoint.Spec.URL, endpoint.Spec.CredentialsSecretRef = "rtsp://192.0.2.10/", &v1alpha1.SecretReference{Name: "camera"}
	_, err = api.StreamRuleEndpoints(yard).Create(ctx, endpoint, metav1.CreateOptions{})
	must(t, err)
	rule := &v1alpha1.StreamRule{ObjectMeta: metav1.ObjectMeta{Name: "gate"}}
	rule.Spec.Targets = []v1alpha1.StreamTarget{{EndpointRef: "camera", TargetResource: v1alpha1.TargetResource{NodeName: node, Path: "/camera"}}}
	_, err = api.StreamRules(yard).Create(ctx, rule, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		must(t, api.StreamRules(yard).Delete(context.Background(), "gate", metav1.DeleteOptions{}))
		must(t, api.StreamRuleEndpoints(yard).Delete(context.Background(), "camera", metav1.DeleteOptions{}))
	})

	var revision string
	for _, step := range []struct {
		name   string
		down   bool
		mend   func(down *atomic.Bool)
		status metav1.ConditionStatus
		reason string
	}{
		{"no Role", false, func(*atomic.Bool) { must(t, env.applier.Apply(ctx, []byte(role), yard)) }, metav1.ConditionFalse, v1alpha1.ReasonCredentialsForbidden},
		{"outage", true, func(down *atomic.Bool) { down.Store(false) }, metav1.ConditionUnknown, v1alpha1.ReasonCredentialsUnknown},
	} {
		t.Run(step.name, func(t *testing.T) {
			var down atomic.Bool
			down.Store(step.down)
			out := cloudcore(t, &down)
			d := out.directory(t, "the target", func(e assignment.Entry) bool { return e.Problem == "" })
			if !d.Entries[0].CredentialsUnknown || !d.Entries[0].Credentials.IsZero() {
				t.Errorf("directory %+v", d)
			}
			ready(t, yard, step.status, step.reason)
			step.mend(&down)
			d = out.directory(t, "credentials", func(e assignment.Entry) bool {
				return e.Credentials == tunnel.NewCredentials("rtsp://192.0.2.10", "viewer", "one")
			})
			ready(t, yard, metav1.ConditionTrue, v1alpha1.ReasonReady)
			// The node has never been told anything else, whichever cloudcore it was.
			if revision == "" {
				revision = d.Revision
			}
			for len(out.edge) > 0 {
				if a := <-out.edge; a.Revision != revision || len(a.Targets) != 1 || !a.Targets[0].NeedsCredentials {
					t.Errorf("assignment %+v", a)
				}
			}
		})
	}
}
