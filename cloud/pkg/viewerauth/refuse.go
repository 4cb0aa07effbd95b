// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The ClusterRoles of build/manifests/rbac.
const (
	viewerRole   = "datastream-viewer"
	operatorRole = "datastream-operator"
)

// retryAfter is when to ask again while the API server is away, in seconds.
const retryAfter = 5

// answer writes a metav1.Status, as the API server does, with a Retry-After that is set already.
func answer(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	}
	if seconds, err := strconv.ParseInt(w.Header().Get("Retry-After"), 10, 32); err == nil {
		status.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(seconds)}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // people copy commands out of it
	_ = enc.Encode(&status)  // the caller may be gone
}

func refuseUnknown(w http.ResponseWriter) {
	answer(w, http.StatusNotFound, metav1.StatusReasonNotFound,
		"no such page; streams are at /node/{node}/{rule}/{path} and /namespaces/{namespace}/node/{node}/{rule}/{path}, GET /streams lists them")
}

func (g *Guard) refuseForeign(w http.ResponseWriter) {
	g.cfg.Refused(ForeignOrigin)
	answer(w, http.StatusForbidden, metav1.StatusReasonForbidden, "a page of another site may not do this")
}

// refuseUnauthenticated answers 401. invalid tells credentials that are bad from none (RFC 6750, 3).
func (g *Guard) refuseUnauthenticated(w http.ResponseWriter, why string, invalid bool) {
	g.cfg.Refused(Unauthenticated)
	challenge := `Bearer realm="datastream"`
	if invalid {
		challenge += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	answer(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, why+
		`; send a Kubernetes token, such as curl -H "Authorization: Bearer $(kubectl create token SERVICEACCOUNT)"`+
		", or a fresh ?ticket= where headers cannot be set (POST …/ticket)")
}

func (g *Guard) refuseForbidden(w http.ResponseWriter, user string, r right) {
	g.cfg.Refused(Forbidden)
	answer(w, http.StatusForbidden, metav1.StatusReasonForbidden, forbidden(user, r))
}

// forbidden says what is not allowed, how to look into that, and what would allow it.
func forbidden(user string, r right) string {
	as := " --as=" + quote(user)
	if r.path != "" {
		return fmt.Sprintf("user %.253q may not %s %s; ask: kubectl auth can-i %s %s%s; "+
			"allow with a ClusterRole for that nonResourceURL and a ClusterRoleBinding", user, r.verb, r.path, r.verb, quote(r.path), as)
	}
	role := viewerRole
	if r.verb == "update" {
		role = operatorRole
	}
	account, flag := user, "--user="
	if name, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		account, flag = name, "--serviceaccount="
	}
	// A name of its own: the one who was refused before has had this advice too. RBAC's names have neither of these.
	binding := role + ":" + strings.NewReplacer("/", "-", "%", "-").Replace(account)
	ns := " -n " + quote(r.namespace)
	name := resource + "." + group
	if r.rule != "" {
		name += "/" + r.rule
	}
	return fmt.Sprintf("user %.253q may not %s %s/%s %.253q in namespace %.63q; ask: kubectl auth can-i %s %s --subresource=%s%s%s; "+
		"allow: kubectl create rolebinding %s --clusterrole=%s %s%s",
		user, r.verb, resource, r.subresource, r.rule, r.namespace,
		r.verb, quote(name), r.subresource, ns, as,
		quote(binding), role, flag+quote(account), ns)
}

// quote makes one word of s for a shell: people will paste it, and the URL that it comes from may be anybody's.
func quote(s string) string {
	const most = 300
	s = s[:min(len(s), most)]
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.:/@", c)
	}
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	clean := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return '?'
		}
		return c
	}, s)
	return "'" + strings.ReplaceAll(clean, "'", `'\''`) + "'"
}

func (g *Guard) refuseScope(w http.ResponseWriter) {
	g.cfg.Refused(Forbidden)
	answer(w, http.StatusForbidden, metav1.StatusReasonForbidden,
		`this ticket is for watching only; POST …/ticket with {"control": true} gives one that may control`)
}

func refuseTicket(w http.ResponseWriter, code int, message string) {
	reason := metav1.StatusReasonBadRequest
	switch code {
	case http.StatusForbidden:
		reason = metav1.StatusReasonForbidden
	case http.StatusConflict:
		reason = metav1.StatusReasonConflict
	case http.StatusUnprocessableEntity:
		reason = metav1.StatusReasonInvalid
	case http.StatusRequestEntityTooLarge:
		reason = metav1.StatusReasonRequestEntityTooLarge
	}
	answer(w, code, reason, message)
}

// refuseRate answers somebody who asks too often.
func (g *Guard) refuseRate(w http.ResponseWriter, message string, seconds int) {
	g.cfg.Refused(TooOften)
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	answer(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, message)
}

func refuseBusy(w http.ResponseWriter, message string) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	answer(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, message)
}
