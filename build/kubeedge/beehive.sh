#!/usr/bin/env bash
# Copyright The KubeEdge Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Makes the beehive that KubeEdge v1.20 needs: the published one out of the module cache, plus the few identifiers
# of _beehive/ that it has not got. go.mod replaces beehive by the result, _output/beehive.
set -euo pipefail
cd "$(dirname "$0")"

module=github.com/kubeedge/beehive@v1.13.0
out=../../_output/beehive
fresh=$out.$$
trap 'rm -rf "$fresh"' EXIT

# Outside of this module: its own replace would answer.
from=$(cd / && GO111MODULE=on GOWORK=off go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
mkdir -p "$fresh"
cp -R "$from/." "$fresh"
chmod -R u+w "$fresh"
cp -R _beehive/. "$fresh"
# Unchanged files stay, so that nothing is built again for nothing.
if ! diff -rq "$fresh" "$out" >/dev/null 2>&1; then
	rm -rf "$out"
	mv "$fresh" "$out"
fi
