# The Helm chart, and the check of all that is installed on a cluster.

MANIFESTS_DIR := $(OUT)/manifests

.PHONY: chart
chart: ## copies into the Helm chart the CRDs and the RBAC rules of build/
	build/helm/sync.sh

# Helm's engine without the rest of Helm: seconds instead of minutes, since the versions of its libraries are the main module's.
.PHONY: render
render:
	cd build/helm/render && go build -o $(TOOLS)/render .

.PHONY: test-manifests
test-manifests: beehive render ## has an API server check the Helm chart, the kustomize manifests and the patch; replays the Dockerfiles
	@trap 'go run ./hack/localup down -dir $(MANIFESTS_DIR)' EXIT; \
	$(LOCALUP) -dir $(MANIFESTS_DIR) -ports 0 -samples=false && \
	E2E_CLUSTER=$(CURDIR)/$(MANIFESTS_DIR) RENDER=$(TOOLS)/render REQUIRE_MANIFESTS=1 go test -count=1 -v ./tests/manifests/...
