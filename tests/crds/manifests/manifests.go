// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifests holds manifests of StreamRules and StreamRuleEndpoints, good and bad, and what the API server must say
// about each. They are shown to the API server's validation as a library, and to a real API server.
package manifests

// Case is one manifest.
type Case struct {
	Name string
	// Spec is the YAML below the metadata.
	Spec string
	// Want is a part of the refusal. Empty: the manifest is accepted.
	Want string
}

// YAML is the whole manifest, of an object of that kind and name.
func (c *Case) YAML(kind, name string) []byte {
	return []byte("apiVersion: streamrules.kubeedge.io/v1alpha1\nkind: " + kind + "\nmetadata: {name: " + name + "}\n" + c.Spec)
}
