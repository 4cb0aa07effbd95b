// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubeedge/datastream/cloud/pkg/streamctl/cmd"
	report "github.com/kubeedge/datastream/cloud/pkg/streamctl/doctor"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/pki"
)

// Who asks. Each has a kubeconfig.
const (
	operator    = "operator"    // may do everything
	viewer      = "viewer"      // datastream-viewer
	lister      = "lister"      // may list rules, not watch
	stranger    = "stranger"    // may do nothing
	unknown     = "unknown"     // has a token that is none
	certificate = "certificate" // has a client certificate only
	lost        = "lost"        // has another API server's address
)

// makeAccounts makes a service account and a kubeconfig for each.
func makeAccounts(ctx context.Context) error {
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: lister},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.SchemeGroupVersion.Group}, Resources: []string{"streamrules"}, Verbs: []string{"get", "list"}}},
	}
	if _, err := env.admin.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return err
	}
	for name, role := range map[string]string{operator: "cluster-admin", viewer: "datastream-viewer", lister: lister, stranger: ""} {
		accounts := env.admin.CoreV1().ServiceAccounts(yard)
		if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			return err
		}
		if role != "" {
			binding := &rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
				Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: yard}},
			}
			if _, err := env.admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		review, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if err := writeKubeconfig(name, clientcmdapi.AuthInfo{Token: review.Status.Token}); err != nil {
			return err
		}
	}
	pair, err := env.Server.CA.Issue(pki.Client("carol", "system:masters"))
	if err != nil {
		return err
	}
	chain, key := pair.PEM()
	if err := writeKubeconfig(certificate, clientcmdapi.AuthInfo{ClientCertificateData: chain, ClientKeyData: key}); err != nil {
		return err
	}
	if err := writeKubeconfig(lost, clientcmdapi.AuthInfo{Token: "none"}); err != nil {
		return err
	}
	return writeKubeconfig(unknown, clientcmdapi.AuthInfo{Token: "none"})
}

// allowed returns when that account may do so: the API server learns of roles and bindings a while after they are made.
func allowed(ctx context.Context, who string, what authorizationv1.ResourceAttributes) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig(who))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &what}}
	return poll(ctx, func() (bool, error) {
		answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	})
}

func kubeconfig(who string) string { return filepath.Join(env.dir, who+".kubeconfig") }

func writeKubeconfig(who string, user clientcmdapi.AuthInfo) error {
	api, err := env.Config("any", "any")
	if err != nil {
		return err
	}
	if who == lost {
		api.Host = "https://127.0.0.1:1"
	}
	c := clientcmdapi.NewConfig()
	c.Clusters["here"] = &clientcmdapi.Cluster{Server: api.Host, CertificateAuthorityData: api.CAData}
	c.AuthInfos[who] = &user
	c.Contexts["here"] = &clientcmdapi.Context{Cluster: "here", AuthInfo: who, Namespace: yard}
	c.CurrentContext = "here"
	return clientcmd.WriteToFile(*c, kubeconfig(who))
}

// answer is what the program has written.
type answer struct {
	code        int
	out, errors string
	report.Report
}

// streams runs the program.
func streams(ctx context.Context, who string, args ...string) answer {
	var a answer
	var out, errs bytes.Buffer
	args = append(args, "--kubeconfig", kubeconfig(who))
	if env.Cluster != nil && !strings.Contains(strings.Join(args, " "), "--stream-server") {
		args = append(args, "--stream-server", "http://"+env.Viewers)
	}
	a.code = cmd.Run(ctx, args, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errs})
	a.out, a.errors = out.String(), errs.String()
	return a
}

// ask runs the doctor.
func ask(ctx context.Context, who string, args ...string) answer {
	a := streams(ctx, who, append([]string{"doctor", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(a.out), &a.Report); err != nil {
		a.errors += err.Error()
	}
	return a
}

// wantCause fails the test unless the doctor has found that one cause, at that check, and says what to do.
func (a answer) wantCause(t *testing.T, check, code string) {
	t.Helper()
	if a.code != 1 || a.Healthy || len(a.Causes) != 1 {
		t.Fatalf("exit code %d, %d causes, want %s\n%s%s", a.code, len(a.Causes), code, a.out, a.errors)
	}
	c := a.Causes[0]
	if c.Name != check || c.Code != code {
		t.Errorf("the cause is %s at %s, want %s at %s\n%s", c.Code, c.Name, code, check, a.out)
	}
	if c.Message == "" || c.Next == "" || strings.Contains(c.Next, "{namespace}") {
		t.Errorf("no next step: %+v", c)
	}
}

// wantHealthy fails the test if the doctor has found anything.
func (a answer) wantHealthy(t *testing.T) {
	t.Helper()
	if a.code != 0 || !a.Healthy {
		t.Fatalf("exit code %d\n%s%s", a.code, a.out, a.errors)
	}
}

// check returns one line of the only stream's.
func (a answer) check(name string) report.Check {
	for _, s := range a.Streams {
		for _, c := range s.Checks {
			if c.Name == name {
				return c
			}
		}
	}
	return report.Check{}
}

// setup is one rule with one target, and its endpoint, which may be missing.
type setup struct {
	node, url string
	secret    string // of the endpoint
	lone      bool   // without the endpoint
}

// apply makes the objects; they are deleted after the test. The rule and the endpoint are called like the test. It returns RULE/PATH once the rule
// has a status, of a connected stream if the edge of this test is to serve it.
func (s setup) apply(t *testing.T) string {
	t.Helper()
	name := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(t.Name(), "Test"), "/", "-"))
	api := env.rules.StreamrulesV1alpha1()
	if !s.lone {
		endpoint := &v1alpha1.StreamRuleEndpoint{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.StreamRuleEndpointSpec{Protocol: v1alpha1.ProtocolWebSocket, URL: s.url},
		}
		if s.secret != "" {
			endpoint.Spec.CredentialsSecretRef = &v1alpha1.SecretReference{Name: s.secret}
		}
		_, err := api.StreamRuleEndpoints(yard).Create(t.Context(), endpoint, metav1.CreateOptions{})
		must(t, err)
		t.Cleanup(func() {
			must(t, api.StreamRuleEndpoints(yard).Delete(context.Background(), name, metav1.DeleteOptions{}))
		})
	}
	if s.node == "" {
		s.node = node
	}
	rule := &v1alpha1.StreamRule{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.StreamRuleSpec{Targets: []v1alpha1.StreamTarget{
		{EndpointRef: name, TargetResource: v1alpha1.TargetResource{NodeName: s.node, Path: "/camera"}},
	}}}
	_, err := api.StreamRules(yard).Create(t.Context(), rule, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, api.StreamRules(yard).Delete(context.Background(), name, metav1.DeleteOptions{})) })
	must(t, poll(t.Context(), func() (bool, error) {
		r, err := api.StreamRules(yard).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || len(r.Status.Targets) == 0 {
			return false, err
		}
		state := r.Status.Targets[0].State
		return state.Connected() || state == v1alpha1.TargetEndpointMissing || s.node != node, nil
	}))
	return name + "/camera"
}

// cameraOf starts a camera.
func cameraOf(t *testing.T, cfg camera.Config) *camera.Camera {
	t.Helper()
	c, err := camera.Start(cfg)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// clipOf is a clip of one track.
func clipOf(t *testing.T, track *camera.Track, err error) *camera.Clip {
	t.Helper()
	must(t, err)
	return new(camera.Clip).With(track)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fmt.Errorf("%w", err))
	}
}
