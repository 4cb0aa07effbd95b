// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubeedge/datastream/hack/localup/cluster"
	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/tests/camera"
)

// A Secret reaches the camera and nothing else: no log, no file of a node or of cloudcore, no status, no Event. It is rotated while the
// camera is being watched.
func TestCredentials(t *testing.T) {
	const (
		user      = "e2e-canary-user"
		password1 = "e2e-canary/one p@ss"
		password2 = "e2e-canary/two p@ss"
	)
	s := newSpace(t)
	start := func(address, password string) *camera.Camera {
		cam, err := camera.Start(camera.Config{Address: address, Username: user, Password: password})
		must(t, err)
		t.Cleanup(cam.Close)
		return cam
	}
	cam := start("", password1)

	_, err := s.endpoints.Create(patient(t), &v1alpha1.StreamRuleEndpoint{
		ObjectMeta: metav1.ObjectMeta{Name: "guarded"},
		Spec: v1alpha1.StreamRuleEndpointSpec{
			Protocol: v1alpha1.ProtocolWebSocket, URL: cam.URL(), CredentialsSecretRef: &v1alpha1.SecretReference{Name: "camera"},
		},
	}, metav1.CreateOptions{})
	must(t, err)
	guarded := target("guarded", cluster.Edge1)
	s.set(guarded)
	s.ready("guarded", metav1.ConditionFalse, v1alpha1.ReasonCredentialsMissing)
	_ = refused(t, s.url(guarded), http.StatusServiceUnavailable, "does not exist; make it")

	secrets := env.kube.CoreV1().Secrets(s.name)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "camera"}, Type: corev1.SecretTypeBasicAuth,
		StringData: map[string]string{"username": user, "password": password1},
	}
	_, err = secrets.Create(patient(t), secret, metav1.CreateOptions{})
	must(t, err)
	t.Logf("frames %v after the Secret", plays(t, s.url(guarded), codec1))
	s.ready("guarded", metav1.ConditionTrue, v1alpha1.ReasonReady)

	before := cam.TotalSessions()
	cam.Close()
	cam = start(cam.Address(), password2)
	_ = refused(t, s.url(guarded), http.StatusServiceUnavailable, "refused the credentials")
	secret.StringData["password"] = password2
	_, err = secrets.Update(patient(t), secret, metav1.UpdateOptions{})
	must(t, err)
	t.Logf("frames %v after the rotation", plays(t, s.url(guarded), codec1))
	t.Logf("%d sessions with the old password, %d with the new one", before, cam.TotalSessions())

	must(t, secrets.Delete(patient(t), "camera", metav1.DeleteOptions{}))
	s.ready("guarded", metav1.ConditionFalse, v1alpha1.ReasonCredentialsMissing)
	_ = refused(t, s.url(guarded), http.StatusServiceUnavailable, "does not exist; make it")

	rule, err := s.rules.Get(patient(t), ruleName, metav1.GetOptions{})
	must(t, err)
	endpoint, err := s.endpoints.Get(patient(t), "guarded", metav1.GetOptions{})
	must(t, err)
	events, err := env.kube.CoreV1().Events(s.name).List(patient(t), metav1.ListOptions{})
	must(t, err)
	searched := 0
	for _, canary := range []string{user, password1, password2} {
		for _, form := range []string{canary, url.QueryEscape(canary), url.PathEscape(canary), base64.StdEncoding.EncodeToString([]byte(canary))} {
			for name, text := range map[string]string{"rule": fmt.Sprint(rule), "endpoint": fmt.Sprint(endpoint), "events": fmt.Sprint(events)} {
				if bytes.Contains([]byte(text), []byte(form)) {
					t.Errorf("%q is in the %s", form, name)
				}
			}
			searched += s.search(form)
		}
	}
	t.Logf("searched %d files", searched)
}

// The Role of docs/security.md is enough: what cloudcore asks for names the Secret.
func TestCredentialsNarrowed(t *testing.T) {
	s := newSpace(t)
	const user = "narrowed"
	must(t, env.applier.Apply(patient(t), []byte(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: camera-credentials}
rules:
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [gate-camera]
  verbs: [list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: camera-credentials}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: camera-credentials}
subjects: [{kind: User, name: `+user+`}]
`), s.name))
	config, err := env.Config()
	must(t, err)
	config.Impersonate.UserName = user
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	secrets := client.CoreV1().Secrets(s.name)
	for name, allowed := range map[string]bool{"gate-camera": true, "other": false} {
		byName := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
		_, err := secrets.List(patient(t), byName)
		if allowed { // the API server hears of its own Role a little later than it is there
			eventually(t, "the right to "+name, func(ctx context.Context) error {
				_, err = secrets.List(ctx, byName)
				return err
			})
		}
		if (err == nil) != allowed || err != nil && !apierrors.IsForbidden(err) {
			t.Errorf("listing %s: %v", name, err)
		}
		w, err := secrets.Watch(patient(t), byName)
		if (err == nil) != allowed || err != nil && !apierrors.IsForbidden(err) {
			t.Errorf("watching %s: %v", name, err)
		}
		if err == nil {
			w.Stop()
		}
	}
	if _, err := secrets.List(patient(t), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing all: %v", err)
	}
}

// ready waits for an endpoint's condition.
func (s *space) ready(endpoint string, want metav1.ConditionStatus, reason string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("Ready of %s to be %s, %s", endpoint, want, reason), func(ctx context.Context) error {
		e, err := s.endpoints.Get(ctx, endpoint, metav1.GetOptions{})
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(e.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil || c.Status != want || c.Reason != reason {
			return fmt.Errorf("it is %+v", c)
		}
		return nil
	})
}

// search looks for text in all that cloudcore and the nodes have on their disks, their logs included. It returns the number of files.
func (s *space) search(text string) (files int) {
	s.t.Helper()
	for _, folder := range []string{"logs", cluster.CloudCore, cluster.Edge1, cluster.Edge2} {
		err := filepath.WalkDir(filepath.Join(s.env.Dir, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a temporary file
			}
			files++
			if bytes.Contains(data, []byte(text)) {
				s.t.Errorf("%q is in %s", text, path)
			}
			return err
		})
		must(s.t, err)
	}
	return files
}
