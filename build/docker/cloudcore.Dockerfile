# syntax=docker/dockerfile:1
# cloudcore with this project's modules. In the root of the repository:
#   docker build -f build/docker/cloudcore.Dockerfile -t registry.example.com/cloudcore-datastream:v1.20.0 .
# Pure Go, so it is cross-compiled: docker buildx build --platform linux/amd64,linux/arm64 …
FROM --platform=$BUILDPLATFORM golang:1.25-bookworm AS builder
WORKDIR /src
COPY . .
ARG TARGETOS TARGETARCH KUBEEDGE_VERSION=v1.20.0
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    build/kubeedge/beehive.sh && \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go -C build/kubeedge build -trimpath \
      -ldflags "-s -w -buildid= -X github.com/kubeedge/kubeedge/pkg/version.gitVersion=$KUBEEDGE_VERSION" \
      -o /out/cloudcore ./cmd/cloudcore

# No shell and no iptables: the tunnel of "kubectl logs" needs iptablesManager.mode external, keadm's default.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=builder /out/cloudcore /usr/local/bin/cloudcore
USER 65532:65532
EXPOSE 10000 10002 10003 10004 10005 10006
ENTRYPOINT ["/usr/local/bin/cloudcore"]
