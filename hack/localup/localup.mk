# A KubeEdge cluster on this machine, and the tests that need one. LOCALUP_FLAGS="-dir DIR -ports BASE" runs another beside it.

E2E_DIR := $(OUT)/e2e

.PHONY: local-up
local-up: build ## a KubeEdge cluster on this machine with two nodes and two cameras; prints what to try (LOCALUP_FLAGS="-ports 20000")
	go run ./hack/localup up $(LOCALUP_FLAGS)

.PHONY: local-down
local-down: ## ends what local-up started
	go run ./hack/localup down $(LOCALUP_FLAGS)

.PHONY: e2e
e2e: build ## end-to-end tests on a cluster of their own (E2E_FLAGS="-run TestFaults")
	@trap 'go run ./hack/localup down -dir $(E2E_DIR)' EXIT; \
	go run ./hack/localup up -dir $(E2E_DIR) -ports 0 -samples=false && \
	E2E_CLUSTER=$(CURDIR)/$(E2E_DIR) go test -count=1 -v -timeout 20m $(E2E_FLAGS) ./tests/e2e/...
