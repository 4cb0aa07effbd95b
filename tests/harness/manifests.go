// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
)

const defaultNamespace = "default"

// Apply creates or replaces the StreamRules and StreamRuleEndpoints of a YAML stream, as kubectl apply would. The
// object tracker knows no defaults and makes no UIDs, so that is done here.
func Apply(ctx context.Context, client versioned.Interface, manifests []byte) error {
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading manifests: %w", err)
		}
		if err := applyOne(ctx, client, doc); err != nil {
			return err
		}
	}
}

func applyOne(ctx context.Context, client versioned.Interface, doc []byte) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &kind); err != nil {
		return fmt.Errorf("reading manifest: %w", err)
	}
	switch kind.Kind {
	case "":
		return nil // only comments
	case "StreamRule":
		var rule v1alpha1.StreamRule
		if err := yaml.UnmarshalStrict(doc, &rule); err != nil {
			return fmt.Errorf("reading StreamRule: %w", err)
		}
		return ApplyRule(ctx, client, &rule)
	case "StreamRuleEndpoint":
		var endpoint v1alpha1.StreamRuleEndpoint
		if err := yaml.UnmarshalStrict(doc, &endpoint); err != nil {
			return fmt.Errorf("reading StreamRuleEndpoint: %w", err)
		}
		return ApplyEndpoint(ctx, client, &endpoint)
	default:
		return fmt.Errorf("manifest of unknown kind %q", kind.Kind)
	}
}

// ApplyRule creates or replaces a StreamRule.
func ApplyRule(ctx context.Context, client versioned.Interface, rule *v1alpha1.StreamRule) error {
	identify(&rule.ObjectMeta)
	rules := client.StreamrulesV1alpha1().StreamRules(rule.Namespace)
	old, err := rules.Get(ctx, rule.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = rules.Create(ctx, rule, metav1.CreateOptions{})
	case err == nil:
		rule.UID = old.UID
		_, err = rules.Update(ctx, rule, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("applying StreamRule %s: %w", rule.Name, err)
	}
	return nil
}

// ApplyEndpoint creates or replaces a StreamRuleEndpoint.
func ApplyEndpoint(ctx context.Context, client versioned.Interface, endpoint *v1alpha1.StreamRuleEndpoint) error {
	identify(&endpoint.ObjectMeta)
	if endpoint.Spec.Protocol == "" {
		endpoint.Spec.Protocol = v1alpha1.ProtocolWebSocket
	}
	endpoints := client.StreamrulesV1alpha1().StreamRuleEndpoints(endpoint.Namespace)
	old, err := endpoints.Get(ctx, endpoint.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = endpoints.Create(ctx, endpoint, metav1.CreateOptions{})
	case err == nil:
		endpoint.UID = old.UID
		_, err = endpoints.Update(ctx, endpoint, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("applying StreamRuleEndpoint %s: %w", endpoint.Name, err)
	}
	return nil
}

func identify(meta *metav1.ObjectMeta) {
	if meta.Namespace == "" {
		meta.Namespace = defaultNamespace
	}
	if meta.UID == "" {
		meta.UID = uuid.NewUUID()
	}
}
