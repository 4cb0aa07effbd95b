# A KubeEdge cluster on this machine, and the tests that need one. LOCALUP_FLAGS="-dir DIR -ports BASE" runs another beside it.

E2E_DIR := $(OUT)/e2e
# It builds what "make build" does too, and shows how far it is.
LOCALUP := go run ./hack/localup up -kubeedge-ldflags '$(KUBEEDGE_LDFLAGS)'

.PHONY: local-up
local-up: beehive ## a KubeEdge cluster on this machine with two nodes and two cameras; prints what to try (LOCALUP_FLAGS="-ports 20000")
	@$(LOCALUP) $(LOCALUP_FLAGS)

.PHONY: local-down
local-down: ## ends what local-up started
	@go run ./hack/localup down $(LOCALUP_FLAGS)

.PHONY: e2e
e2e: beehive ## end-to-end tests on a cluster of their own (E2E_FLAGS="-run TestCertificates")
	@trap 'for c in $(E2E_DIR)/own/* $(E2E_DIR); do go run ./hack/localup down -dir "$$c"; done' EXIT; \
	$(LOCALUP) -dir $(E2E_DIR) -ports 0 -samples=false && \
	E2E_CLUSTER=$(CURDIR)/$(E2E_DIR) go test -p 1 -count=1 -v -timeout 20m $(E2E_FLAGS) ./tests/e2e/... ./tests/access/... ./tests/doctor/... ./tests/secrets/...
