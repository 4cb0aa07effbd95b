# cloudcore and edgecore of KubeEdge with this project's modules in them, into _output/bin. edgecore needs a C compiler (sqlite).

KUBEEDGE_VERSION := v1.20.0
KUBEEDGE_LDFLAGS := -s -w -buildid= -X github.com/kubeedge/kubeedge/pkg/version.gitVersion=$(KUBEEDGE_VERSION)

.PHONY: build
build: beehive ## cloudcore and edgecore with this project's modules, into _output/bin
	@mkdir -p $(OUT)/bin
	cd build/kubeedge && CGO_ENABLED=1 go build -trimpath -ldflags '$(KUBEEDGE_LDFLAGS)' -o $(CURDIR)/$(OUT)/bin/ ./cmd/...

.PHONY: beehive
beehive:
	@build/kubeedge/beehive.sh

.PHONY: test-kubeedge
test-kubeedge: beehive ## the tests of what is added to cloudcore and edgecore, with the race detector
	cd build/kubeedge && go test -race ./...
