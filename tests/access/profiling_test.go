// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// profiler has the right to the paths.
func profiler(t *testing.T) caller {
	t.Helper()
	meta := metav1.ObjectMeta{Name: "datastream-profiler"}
	role := &rbacv1.ClusterRole{
		ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/debug/pprof/*"}, Verbs: []string{"get"}}},
	}
	_, err := env.admin.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = env.admin.RbacV1().ClusterRoles().Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
	})
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "profiler", Namespace: yard}},
	}
	_, err = env.admin.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		_ = env.admin.RbacV1().ClusterRoleBindings().Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
	})
	granted(t, binding.Subjects[0], mayGetPath("/debug/pprof/"))
	return caller{token: account(t, "profiler", nil)}
}

// Who has the right to the paths gets profiles, and nothing else by it.
func TestProfiles(t *testing.T) {
	c := profiler(t)
	for _, q := range questions() {
		want := http.StatusForbidden
		switch {
		case q.name == "no profile":
			want = http.StatusNotFound
		case q.name == "symbols by post":
			want = http.StatusMethodNotAllowed
		case strings.HasPrefix(q.url, "/debug/pprof/"):
			want = http.StatusOK
		case !strings.Contains(q.want, "403"):
			continue // open to everybody
		}
		if code, body := ask(t, c, q); code != want {
			t.Errorf("%s: %d, want %d: %.200s", q.name, code, want, body)
		}
	}
}

// The index leads to every profile.
func TestLinksToProfiles(t *testing.T) {
	c := profiler(t)
	resp, err := env.client.Do(newRequest(t, c, question{method: http.MethodGet, url: "/debug/pprof/"}))
	must(t, err)
	defer resp.Body.Close()
	index, err := io.ReadAll(resp.Body)
	must(t, err)
	links := regexp.MustCompile(`href=["']([^"']+)`).FindAllStringSubmatch(string(index), -1)
	if len(links) < 10 {
		t.Fatalf("%d links on %s: %s", len(links), resp.Status, index)
	}
	for _, link := range links {
		to, err := resp.Request.URL.Parse(link[1])
		must(t, err)
		if strings.HasSuffix(to.Path, "/profile") {
			to.RawQuery += "&seconds=1" // and not 30
		}
		if code, body := ask(t, c, question{method: http.MethodGet, url: to.RequestURI()}); code != http.StatusOK {
			t.Errorf("%s: %d %s", link[1], code, body)
		}
	}
}
