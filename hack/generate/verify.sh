#!/usr/bin/env bash
# Copyright The KubeEdge Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Fails when the generated files in the tree are not what generate.sh makes of the types. Changes nothing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
mkdir -p "$fresh/pkg" "$fresh/hack"
cp "$root/go.mod" "$root/go.sum" "$fresh/"
cp -r "$root/pkg/apis" "$fresh/pkg/"
cp "$root/hack/boilerplate.go.txt" "$fresh/hack/"
"$here/generate.sh" "$fresh"

stale=0
for path in pkg/apis/streamrules pkg/client build/crds/streamrules; do
  diff -ruN "$root/$path" "$fresh/$path" || stale=1
done
if [ "$stale" -ne 0 ]; then
  echo "generated files are stale (- as in the tree, + as generated): run 'make generate' and commit the result" >&2
  exit 1
fi
