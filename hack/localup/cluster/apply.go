// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// fieldManager is who applies: whoever does so by hand later meets no conflict.
const fieldManager = "kubectl"

// Applier applies manifests of any kind, as kubectl apply --server-side does.
type Applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

// NewApplier makes an applier.
func NewApplier(config *rest.Config) (*Applier, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return &Applier{client, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kinds))}, nil
}

// ApplyFile applies every document of a YAML file.
func (a *Applier) ApplyFile(ctx context.Context, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading manifests: %w", err)
	}
	if err := a.Apply(ctx, data, metav1.NamespaceDefault); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// Apply applies every document of a YAML stream. Those without a namespace go to the given one, if their kind has namespaces.
func (a *Applier) Apply(ctx context.Context, manifests []byte, namespace string) error {
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading manifests: %w", err)
		}
		if err := a.applyOne(ctx, doc, namespace); err != nil {
			return err
		}
	}
}

func (a *Applier) applyOne(ctx context.Context, doc []byte, namespace string) error {
	var object unstructured.Unstructured
	if err := yaml.Unmarshal(doc, &object.Object); err != nil {
		return fmt.Errorf("parsing manifest: %w", err)
	}
	if len(object.Object) == 0 {
		return nil // only comments
	}
	kind := object.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return fmt.Errorf("applying %s %s: %w", kind.Kind, object.GetName(), err)
	}
	var client dynamic.ResourceInterface = a.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if own := object.GetNamespace(); own != "" {
			namespace = own
		}
		client = a.client.Resource(mapping.Resource).Namespace(namespace)
	}
	// The document as it stands: what is wrong in it is the API server's to say.
	_, err = client.Patch(ctx, object.GetName(), types.ApplyPatchType, doc, metav1.PatchOptions{
		FieldManager: fieldManager, Force: ptr.To(true), FieldValidation: metav1.FieldValidationStrict,
	})
	if err != nil {
		return fmt.Errorf("applying %s %s: %w", kind.Kind, object.GetName(), err)
	}
	return nil
}
