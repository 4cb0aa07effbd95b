#!/usr/bin/env bash
# Copyright The KubeEdge Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Copies into the Helm chart what it shares with the kustomize manifests. The tests of tests/manifests fail when that is stale.
set -euo pipefail
cd "$(dirname "$0")"

chart=kubeedge-datastream
rm -rf "$chart/crds"
mkdir -p "$chart/crds"
cp ../crds/streamrules/*.yaml "$chart/crds/"
cp ../manifests/rbac/cloudcore-datastream.yaml "$chart/templates/rbac.yaml"
cp ../manifests/rbac/viewers.yaml "$chart/templates/viewers.yaml"
