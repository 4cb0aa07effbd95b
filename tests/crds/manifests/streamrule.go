// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"fmt"
	"strings"
)

// StreamRules are manifests of StreamRules.
func StreamRules() []Case {
	const (
		segment    = "path may contain only letters, digits, '-', '.', '_' and '~'"
		dots       = "path must not contain '.' or '..' between slashes"
		unique     = "two targets have the same node_name and path"
		nodeName   = "node_name must be the name of a node"
		endpoint   = "endpointRef must be the name of a StreamRuleEndpoint"
		firstField = "spec.targets[0]"
	)
	return []Case{
		{"one target", targets(target("cam", "edge-1", "/cam")), ""},
		{"path with parts", targets(target("cam", "edge-1", "/hall/2/Cam_1.main~x-y")), ""},
		{"path of dots and more", targets(target("cam", "edge-1", "/...")), ""},
		{"hidden path", targets(target("cam", "edge-1", "/.cam")), ""},
		{"dotted names", targets(target("cam.hall", "edge-1.example.com", "/cam")), ""},
		{"same path on two nodes", targets(target("cam", "edge-1", "/cam"), target("cam", "edge-2", "/cam")), ""},
		{"same endpoint twice", targets(target("cam", "edge-1", "/a"), target("cam", "edge-1", "/b")), ""},
		{"path that continues a node name", targets(target("cam", "edge", "/a/b"), target("cam", "edge-a", "/b")), ""},
		{"largest rule", manyTargets(128), ""},

		{"no spec", "", "spec: Required value"},
		{"empty spec", "spec: {}", "spec.targets: Required value"},
		{"null targets", "spec: {targets: null}", "spec.targets: Required value"},
		{"no targets", "spec: {targets: []}", "targets must have at least one entry"},
		{"targets of a wrong type", "spec: {targets: /cam}", "spec.targets in body must be of type array"},
		{"too many targets", manyTargets(129), "spec.targets: Too many: 129: must have at most 128 items"},
		{"unknown field", "spec: {targets: [{endpointRef: cam, targetResource: {nodeName: edge-1, node_name: edge-1, path: /p}}]}",
			`unknown field "spec.targets[0].targetResource.nodeName"`},
		{"field twice", "spec: {targets: [], targets: []}", `key "targets" already set`},

		{"no endpointRef", "spec: {targets: [{targetResource: {node_name: edge-1, path: /p}}]}", firstField + ".endpointRef: Required value"},
		{"empty endpointRef", targets(target("", "edge-1", "/cam")), endpoint},
		{"endpointRef in capitals", targets(target("Cam", "edge-1", "/cam")), endpoint},
		{"endpointRef in another namespace", targets(target("other/cam", "edge-1", "/cam")), endpoint},
		{"endpointRef too long", targets(target(strings.Repeat("n", 254), "edge-1", "/cam")), "endpointRef: Too long"},

		{"no targetResource", "spec: {targets: [{endpointRef: cam}]}", firstField + ".targetResource: Required value"},
		{"no node_name", "spec: {targets: [{endpointRef: cam, targetResource: {path: /p}}]}", ".node_name: Required value"},
		{"empty node_name", targets(target("cam", "", "/cam")), nodeName},
		{"node_name with underscore", targets(target("cam", "edge_1", "/cam")), nodeName},
		{"node_name with slash", targets(target("cam", "edge/1", "/cam")), nodeName},
		{"node_name ends with a hyphen", targets(target("cam", "edge-", "/cam")), nodeName},
		{"node_name with an empty label", targets(target("cam", "edge..1", "/cam")), nodeName},
		{"node_name with a line after it", targets(target("cam", "edge-1\n", "/cam")), nodeName},
		{"node_name too long", targets(target("cam", strings.Repeat("n", 254), "/cam")), "node_name: Too long"},

		{"no path", "spec: {targets: [{endpointRef: cam, targetResource: {node_name: edge-1}}]}", ".path: Required value"},
		{"empty path", targets(target("cam", "edge-1", "")), "path must begin with '/'"},
		{"relative path", targets(target("cam", "edge-1", "cam")), "path must begin with '/', for example /camera-001"},
		{"only a slash", targets(target("cam", "edge-1", "/")), "path must name something and not end with '/'"},
		{"trailing slash", targets(target("cam", "edge-1", "/cam/")), "path must name something and not end with '/'"},
		{"double slash", targets(target("cam", "edge-1", "/hall//cam")), "path must not contain '//'"},
		{"dot", targets(target("cam", "edge-1", "/hall/./cam")), dots},
		{"dot dot", targets(target("cam", "edge-1", "/hall/../cam")), dots},
		{"dot dot at the end", targets(target("cam", "edge-1", "/hall/..")), dots},
		{"query", targets(target("cam", "edge-1", "/cam?format=ts")), segment},
		{"fragment", targets(target("cam", "edge-1", "/cam#1")), segment},
		{"percent", targets(target("cam", "edge-1", "/cam%2f1")), segment},
		{"space", targets(target("cam", "edge-1", "/cam 1")), segment},
		{"line break", targets(target("cam", "edge-1", "/cam\n")), segment},
		{"not ASCII", targets(target("cam", "edge-1", "/kamera-größe")), segment},
		{"path too long", targets(target("cam", "edge-1", "/"+strings.Repeat("p", 128))), "path: Too long"},

		{"same node and path", targets(target("a", "edge-1", "/cam"), target("b", "edge-1", "/cam")), unique},
		{"same node and path, not side by side",
			targets(target("a", "edge-1", "/cam"), target("b", "edge-1", "/x"), target("c", "edge-1", "/cam")), unique},
		{"same target as the last of the largest rule", manyTargets(127) +
			target("a", strings.Repeat("n", 253), "/"+strings.Repeat("p", 123)+"0126"), unique},
	}
}

// target renders one entry of targets.
func target(endpoint, node, path string) string {
	return fmt.Sprintf("  - {endpointRef: %q, targetResource: {node_name: %q, path: %q}}\n", endpoint, node, path)
}

func targets(entries ...string) string {
	return "spec:\n  targets:\n" + strings.Join(entries, "")
}

// manyTargets renders n targets of the greatest size that is allowed, with different paths.
func manyTargets(n int) string {
	name := strings.Repeat("n", 253)
	entries := make([]string, n)
	for i := range entries {
		entries[i] = target(name, name, fmt.Sprintf("/%s%04d", strings.Repeat("p", 123), i))
	}
	return targets(entries...)
}

// StreamRuleStatuses are manifests of StreamRules with a status, which the API server takes only on the subresource.
func StreamRuleStatuses() []Case {
	const spec = "spec: {targets: [{endpointRef: cam, targetResource: {node_name: edge-1, path: /cam}}]}\n"
	return []Case{
		{"full", spec + `status:
  observedGeneration: 1
  desiredTargets: 1
  connectedTargets: 1
  streamingTargets: 1
  conditions:
  - {type: Ready, status: "True", reason: Ready, message: "", lastTransitionTime: "2025-01-01T00:00:00Z"}
  targets:
  - node: edge-1
    path: /cam
    endpoint: cam
    state: streaming
    codecs: [avc1.42c01e, mp4a.40.2]
    viewers: 3
    lastTransitionTime: "2025-01-01T00:00:00Z"
`, ""},
		{"a state of a later version", spec + "status: {targets: [{node: edge-1, path: /p, state: buffering}]}", ""},
		{"target twice", spec + "status: {targets: [{node: edge-1, path: /p, state: idle}, {node: edge-1, path: /p, state: away}]}", "Duplicate value"},
		{"condition twice", spec + `status: {conditions: [
  {type: Ready, status: "True", reason: A, message: "", lastTransitionTime: "2025-01-01T00:00:00Z"},
  {type: Ready, status: "False", reason: B, message: "", lastTransitionTime: "2025-01-01T00:00:00Z"}]}`, "Duplicate value"},
		{"no state", spec + "status: {targets: [{node: edge-1, path: /p}]}", "status.targets[0].state: Required value"},
	}
}
