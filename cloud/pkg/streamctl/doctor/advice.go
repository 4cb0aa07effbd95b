// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"net"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// bindRole is how somebody who may gives the caller a role.
func (d *Doctor) bindRole(role, namespace string) string {
	account, flag := d.user, "--user="
	if name, ok := strings.CutPrefix(d.user, "system:serviceaccount:"); ok {
		account, flag = name, "--serviceaccount="
	}
	// A name of its own, as others may have a binding to that role. RBAC's names have neither of these.
	binding := role + ":" + strings.NewReplacer("/", "-", "%", "-").Replace(account)
	if namespace == "" {
		return fmt.Sprintf("kubectl create clusterrolebinding %s --clusterrole=%s %s%s", binding, role, flag, account)
	}
	return fmt.Sprintf("kubectl -n %s create rolebinding %s --clusterrole=%s %s%s", namespace, binding, role, flag, account)
}

// makeSecret replaces the Secret of a camera. A Secret's type cannot be changed, so it is made anew.
func makeSecret(namespace, name string) string {
	return fmt.Sprintf("kubectl -n %[1]s delete secret %[2]s --ignore-not-found; "+
		"kubectl -n %[1]s create secret generic %[2]s --type=%[3]s --from-literal=username=USER --from-literal=password=PASSWORD",
		namespace, name, corev1.SecretTypeBasicAuth)
}

// closest returns that of the names which is most like name, if one is like it at all.
func closest(name string, names []string) string {
	best, least := "", max(len(name)/3, 1)+1
	for _, n := range names {
		if d := distance(name, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is how many letters must be changed, added or left out to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// sourceAdvice is what to do about each reason why a node cannot read a camera.
var sourceAdvice = map[string]string{
	"AuthenticationFailed": "keep user and password in a Secret: kubectl -n {namespace} create secret generic {endpoint} --type=kubernetes.io/basic-auth --from-literal=username=USER " +
		"--from-literal=password=PASSWORD, and name it in spec.credentialsSecretRef: kubectl -n {namespace} edit streamruleendpoint {endpoint}",
	"CertificateInvalid": "kubectl -n {namespace} edit streamruleendpoint {endpoint}, and put the PEM of the camera's CA into spec.properties.caCertificate",
	"ConnectionRefused":  "on node {node}: nc -vz {dial}; if it is refused, correct the port: kubectl -n {namespace} edit streamruleendpoint {endpoint}",
	"CredentialsMissing": "ask again in some seconds; if it stays: kubectl -n {namespace} describe streamruleendpoint {endpoint}",
	"Disconnected":       "on node {node}: ffprobe -rtsp_transport tcp rtsp://{camera}/…; look into the camera's log, and how many sessions it allows",
	"InvalidEndpoint":    "kubectl -n {namespace} edit streamruleendpoint {endpoint}",
	"NoPicture":          "in the camera's settings: H.264 or H.265 with a key frame each 2 s",
	"NoSupportedTracks":  "in the camera's settings: choose H.264 or H.265 as codec",
	"NotFound":           "correct the path of spec.url: kubectl -n {namespace} edit streamruleendpoint {endpoint}",
	"RequestRefused":     "on node {node}: ffprobe -rtsp_transport tcp rtsp://{camera}/…; another client may hold the camera's only session",
	"Stalled":            "restart the camera; with UDP, open the node's firewall or set spec.properties.transport to tcp: kubectl -n {namespace} edit streamruleendpoint {endpoint}",
	"Timeout":            "on node {node}: nc -vz {dial}; is the camera on, and may the node reach it?",
	"Unreachable":        "on node {node}: ping the host of {camera}; correct it: kubectl -n {namespace} edit streamruleendpoint {endpoint}",
}

const otherAdvice = "on node {node}: journalctl -u edgecore | grep -i -e source -e stream"

// adviseSource fills the advice in. camera is the host of the endpoint's URL, with its port; empty if it is not known.
func adviseSource(reason, namespace, endpoint, node, camera string) string {
	text, ok := sourceAdvice[reason]
	if !ok {
		text = otherAdvice
	}
	dial := "HOST PORT"
	if host, port, err := net.SplitHostPort(camera); err == nil {
		dial = host + " " + port
	} else if camera != "" {
		dial = camera + " " + rtspPort
	}
	return strings.NewReplacer("{namespace}", namespace, "{endpoint}", endpoint, "{node}", node, "{camera}", cmp.Or(camera, "HOST"), "{dial}", dial).Replace(text)
}

// rtspPort is where cameras listen whose URL names no port (RFC 2326, 3.2).
const rtspPort = "554"
