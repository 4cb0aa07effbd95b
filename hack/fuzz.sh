#!/usr/bin/env bash
# Runs every fuzz test of the module for a while, and its committed corpus before that. Usage: hack/fuzz.sh 30s [NAME…]
# What a fuzzer finds on its way stays in Go's cache, for the next time; what makes it fail is in the package's testdata/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
time=${1:-30s}
shift || true
module=$(go list -m)
cache=$(go env GOCACHE)/fuzz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# run NAME ARGUMENTS… runs one fuzzer in the package's folder.
# When its time is up, Go's fuzzer may say "context deadline exceeded" and fail, though it has found nothing (golang/go#75804, before Go 1.27). What it
# finds comes with a report of its own, or at least with a file in testdata/fuzz; without either, the time is just over.
run() {
  local name=$1 status=0 before
  before=$(ls "testdata/fuzz/$name" 2>/dev/null || true)
  "$work/fuzz.test" "${@:2}" 2>&1 | tee "$work/log" || status=$?
  [ "$status" != 0 ] || return 0
  if [ "$before" = "$(ls "testdata/fuzz/$name" 2>/dev/null || true)" ] &&
    [ "$(grep -A9 "^--- FAIL: $name " "$work/log" | tail -n +2)" = $'    context deadline exceeded\nFAIL' ]; then
    echo "$name: the time was up, nothing was found (golang/go#75804)"
    return 0
  fi
  return "$status"
}

mapfile -t packages < <(grep -rl --include='*_test.go' --exclude-dir=_output '^func Fuzz' . | xargs -n1 dirname | sort -u)
for package in "${packages[@]}"; do
  package=${package#./}
  mapfile -t names < <(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$package"/*_test.go | sed 's/^func //' | { if [ $# -gt 0 ]; then grep -xF "$(printf '%s\n' "$@")" || true; else cat; fi; })
  [ ${#names[@]} -gt 0 ] || continue
  # Built once for all fuzzers of the package.
  go test -c -fuzz=Fuzz -o "$work/fuzz.test" "./$package"
  for name in "${names[@]}"; do
    echo "--- $package $name"
    # An input that is of interest is not made small for longer than this: that is for those that fail.
    (cd "$package" && run "$name" -test.run='^$' -test.fuzz="^$name\$" -test.fuzztime="$time" -test.fuzzminimizetime=1s \
      -test.fuzzcachedir="$cache/$module/$package")
  done
done
