# The Helm chart, and Helm itself to check it with.

HELM_VERSION := v3.16.4

.PHONY: chart
chart: ## copies into the Helm chart the CRDs and the RBAC rules of build/
	build/helm/sync.sh

$(TOOLS)/helm-$(HELM_VERSION):
	GOBIN=$(TOOLS) go install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)
	mv $(TOOLS)/helm $@

# Needs kubectl, too: it has kustomize in it.
.PHONY: test-manifests
test-manifests: $(TOOLS)/helm-$(HELM_VERSION) ## has the API server of E2E_CLUSTER check every rendered manifest
	HELM=$(TOOLS)/helm-$(HELM_VERSION) go test -count=1 -v ./tests/manifests/...
