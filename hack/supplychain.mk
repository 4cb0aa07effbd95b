# What we build with: known vulnerabilities, and bills of materials.

GOVULNCHECK := $(TOOLS)/govulncheck
# A copy of the database for networks that are closed: VULNDB=file:///srv/vulndb
VULNDB ?= https://vuln.go.dev
SBOM_DIR := $(OUT)/sbom

# The tool is pinned by the go.sum beside it.
$(GOVULNCHECK): hack/vulncheck/tools/go.mod hack/vulncheck/tools/go.sum
	GOBIN=$(TOOLS) go -C hack/vulncheck/tools install tool
	@touch $@

.PHONY: vulncheck
vulncheck: beehive $(GOVULNCHECK) ## known vulnerabilities that are called (VULNDB=file:///… off the internet; VULNCHECK_FLAGS=-require to insist)
	GOVULNCHECK=$(GOVULNCHECK) go test -count=1 ./hack/vulncheck
	go run ./hack/vulncheck -govulncheck $(GOVULNCHECK) -db $(VULNDB) -known hack/vulncheck/known.yaml $(VULNCHECK_FLAGS) . build/kubeedge

.PHONY: sbom
sbom: build kubectl-streams ## bills of materials (CycloneDX JSON) of the programs and of the module, into _output/sbom
	@rm -rf $(SBOM_DIR) && mkdir -p $(SBOM_DIR)
	go -C hack/sbom run . -o $(CURDIR)/$(SBOM_DIR) -module $(CURDIR) $(wildcard $(addprefix $(CURDIR)/$(OUT)/bin/,cloudcore edgecore kubectl-streams))
	SBOM_DIR=$(CURDIR)/$(SBOM_DIR) SBOM_BIN=$(CURDIR)/$(OUT)/bin go -C hack/sbom test -count=1 ./...
