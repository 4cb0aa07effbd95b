// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// Whoever watches when the right goes is let go, whatever the output and the credential. The others stay.
func TestRevokedInMidStream(t *testing.T) {
	subject := func(name string) rbacv1.Subject {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: yard}
	}
	type revocation struct {
		name   string
		caller caller
		ticket bool
		revoke func()
	}
	dave := certificate(t, "dave")
	unbindDave := bind(t, yard, "dave", "datastream-viewer", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "dave"})
	leaver := account(t, "leaver", nil)
	unbindLeaver := bind(t, yard, "leaver", "datastream-viewer", subject("leaver"))
	guest := account(t, "guest", nil)
	unbindGuest := bind(t, yard, "guest", "datastream-viewer", subject("guest"))
	gone := account(t, "gone", []string{yard}, "datastream-viewer")
	stays := watch(t, caller{token: account(t, "stays", []string{yard}, "datastream-viewer")}, inYard)

	for _, c := range []revocation{
		{"token", caller{token: leaver}, false, unbindLeaver},
		{"ticket", caller{token: guest}, true, unbindGuest},
		{"certificate", dave, false, unbindDave},
		{"deleted account", caller{token: gone}, false, func() {
			must(t, env.admin.CoreV1().ServiceAccounts(yard).Delete(t.Context(), "gone", metav1.DeleteOptions{}))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ended := make(map[string]<-chan error)
			for _, format := range []string{"mp4", "ts", "mse"} {
				if c.ticket {
					ended[format] = watch(t, caller{}, withTicket(t, c.caller, inYard+"?format="+format))
				} else {
					ended[format] = watch(t, c.caller, inYard+"?format="+format)
				}
			}
			c.revoke()
			began, deadline := time.Now(), time.After(patience)
			for format, done := range ended {
				select {
				case <-done:
					t.Logf("%s: closed after %.1f s", format, time.Since(began).Seconds())
				case <-deadline:
					t.Fatalf("%s is still being watched after %v", format, patience)
				}
			}
		})
	}
	select {
	case err := <-stays:
		t.Errorf("somebody who may watch was let go: %v", err)
	default:
	}
}

// watch makes the caller a viewer who reads up to the end; the channel tells when that is.
func watch(t *testing.T, c caller, url string) <-chan error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	transport := &http.Transport{TLSClientConfig: tlsConfig(append([]tls.Certificate(nil), c.certificate...)), DisableKeepAlives: true}
	resp, err := transport.RoundTrip(newRequest(t, c, question{method: http.MethodGet, url: url}).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s: %s", url, resp.Status)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		_, err := io.Copy(io.Discard, resp.Body)
		done <- err
	}()
	t.Cleanup(func() {
		cancel()
		resp.Body.Close()
		<-finished
	})
	return done
}
