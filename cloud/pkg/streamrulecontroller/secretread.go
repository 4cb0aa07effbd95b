// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// readSecret returns the credentials of a Secret, or what is wrong with it; nil is one that does not exist. What it says never quotes what
// the Secret holds.
func readSecret(name types.NamespacedName, secret *corev1.Secret) (tunnel.Credentials, *problem) {
	wrong := func(reason, format string, args ...any) (tunnel.Credentials, *problem) {
		return tunnel.Credentials{}, &problem{reason, fmt.Sprintf("Secret %s ", name) + fmt.Sprintf(format, args...)}
	}
	if secret == nil {
		return wrong(streamrules.ReasonCredentialsMissing, "does not exist; make it: kubectl -n %s create secret generic %s --type=%s "+
			"--from-literal=%s=… --from-literal=%s=…", name.Namespace, name.Name, corev1.SecretTypeBasicAuth,
			corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey)
	}
	if secret.Type != corev1.SecretTypeBasicAuth {
		return wrong(streamrules.ReasonCredentialsMissing, "is of type %.128s and must be of %s; a Secret's type cannot be changed: make another one",
			secret.Type, corev1.SecretTypeBasicAuth)
	}
	for _, key := range []string{corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey} {
		if _, ok := secret.Data[key]; !ok {
			return wrong(streamrules.ReasonCredentialsMissing, "has no key %s", key)
		}
	}
	username, password := secret.Data[corev1.BasicAuthUsernameKey], secret.Data[corev1.BasicAuthPasswordKey]
	credentials := tunnel.NewCredentials("", string(username), string(password))
	if err := credentials.Validate(); err != nil {
		return wrong(streamrules.ReasonCredentialsInvalid, "cannot be used: %v", err)
	}
	return credentials, nil
}

// secretStore is where a Reflector puts the only Secret that it sees, without keeping it. A Reflector only writes; the other methods
// are not there.
type secretStore struct {
	cache.Store
	name string
	take func(*corev1.Secret)
}

func (s secretStore) found(obj any) error {
	if secret, ok := obj.(*corev1.Secret); ok && secret.Name == s.name {
		s.take(secret)
	}
	return nil
}

// Add implements cache.Store.
func (s secretStore) Add(obj any) error { return s.found(obj) }

// Update implements cache.Store.
func (s secretStore) Update(obj any) error { return s.found(obj) }

// Delete implements cache.Store.
func (s secretStore) Delete(obj any) error {
	if secret, ok := obj.(*corev1.Secret); ok && secret.Name == s.name {
		s.take(nil)
	}
	return nil
}

// Replace implements cache.Store.
func (s secretStore) Replace(list []any, _ string) error {
	for _, obj := range list {
		if secret, ok := obj.(*corev1.Secret); ok && secret.Name == s.name {
			return s.found(obj)
		}
	}
	s.take(nil)
	return nil
}

// Resync implements cache.Store.
func (secretStore) Resync() error { return nil }
