#!/usr/bin/env bash
# Copyright The KubeEdge Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Generates deepcopy functions, CRDs and the clients of the stream rule API. Needs Go only.
# Usage: generate.sh [ROOT], where ROOT is the tree to write to (default: the repository).
set -euo pipefail

# gengo at this version warns about type aliases unless go/types hides them.
export GODEBUG=gotypesalias=0

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "${1:-$here/../..}" && pwd)
cd "$root"

module=github.com/kubeedge/datastream
api=$module/pkg/apis/streamrules/v1alpha1
client=$module/pkg/client
boilerplate=hack/boilerplate.go.txt

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
GOBIN=$work go -C "$here/tools" install tool

crds=build/crds/streamrules
rm -rf "$crds"
"$work/controller-gen" paths=./pkg/apis/streamrules/... \
  object:headerFile="$boilerplate" \
  crd output:crd:artifacts:config="$crds"

rm -rf pkg/client
"$work/client-gen" --go-header-file "$boilerplate" \
  --clientset-name versioned --input-base "" --input "$api" \
  --output-dir pkg/client/clientset --output-pkg "$client/clientset"

"$work/lister-gen" --go-header-file "$boilerplate" \
  --output-dir pkg/client/listers --output-pkg "$client/listers" "$api"

"$work/informer-gen" --go-header-file "$boilerplate" \
  --versioned-clientset-package "$client/clientset/versioned" --listers-package "$client/listers" \
  --output-dir pkg/client/informers --output-pkg "$client/informers" "$api"
