# KubeEdge data streaming. "make help" lists the targets.

SHELL := /bin/bash -o pipefail
OUT := _output
TOOLS := $(CURDIR)/$(OUT)/tools
GOLANGCI_VERSION := v2.5.0
PACKAGES := ./...
# Modules of their own, with code in them. The others (*/tools) only pin programs.
MODULES := build/kubeedge build/helm/render hack/sbom

.DEFAULT_GOAL := help

include build/kubeedge/build.mk hack/localup/localup.mk build/helm/helm.mk build/manifests/monitoring/monitoring.mk hack/supplychain.mk

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## cloud, edge and a simulated camera in one process; prints the URL to watch (DEMO_FLAGS="-camera rtsp://...")
	go run ./hack/demo $(DEMO_FLAGS)

.PHONY: kubectl-streams
kubectl-streams: ## the plugin "kubectl streams", into _output/bin
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(OUT)/bin/ ./cloud/cmd/kubectl-streams

.PHONY: test
test: ## every test, with the race detector
	go test -race -timeout 30m $(PACKAGES)

.PHONY: weaknet
weaknet: ## bad networks and dying parts, with congestion control and without it; six minutes, and CHAOS (default 1m) of killing; needs root
	go test ./tests/scenarios -scenarios -chaos $(or $(CHAOS),1m) -parallel 64 -timeout 60m -v

.PHONY: bench
bench: ## CPU per delivered MB of each output beside the floor of raw writes
	go run ./tests/bench

.PHONY: fuzz
fuzz: ## each fuzzer for FUZZTIME (default 30s)
	hack/fuzz.sh $(or $(FUZZTIME),30s)

.PHONY: generate
generate: ## deepcopy, clients and CRDs from the API types
	hack/generate/generate.sh

.PHONY: verify
verify: beehive ## fails if generated code is stale, a file is not formatted, go.mod not tidy, or go vet complains
	hack/generate/verify.sh
	@test -z "$$(find . -name '*.go' -not -path './$(OUT)/*' -exec gofmt -l {} + | tee -a /dev/stderr)" || { echo "the files above are not formatted: run gofmt -w"; exit 1; }
	@for module in . $(MODULES); do go -C $$module mod tidy -diff || exit 1; done
	go vet $(PACKAGES)

.PHONY: lint
lint: $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION) beehive ## golangci-lint, of every module
	@for module in . $(MODULES); do echo "lint $$module"; (cd $$module && $< run --config=$(CURDIR)/.golangci.yml) || exit 1; done

$(TOOLS)/golangci-lint-$(GOLANGCI_VERSION):
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/golangci-lint $@

.PHONY: clean
clean: ## removes what was built
	rm -rf $(OUT)
