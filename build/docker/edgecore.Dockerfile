# syntax=docker/dockerfile:1
# edgecore with this project's module, where keadm looks for it in an installation-package. In the root of the repository:
#   docker build -f build/docker/edgecore.Dockerfile -t registry.example.com/installation-package:v1.20.0 .
# cgo (sqlite) is compiled on the platform it is for: docker buildx build --platform linux/arm64 … needs a node or an emulator of it.
FROM golang:1.25-bookworm AS builder
WORKDIR /src
COPY . .
ARG KUBEEDGE_VERSION=v1.20.0
# Static, since nodes have older C libraries than the builder. Go's own resolver and user lookup, since glibc's do not link statically.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    build/kubeedge/beehive.sh && \
    CGO_ENABLED=1 go -C build/kubeedge build -trimpath -tags netgo,osusergo,sqlite_omit_load_extension \
      -ldflags "-s -w -buildid= -extldflags=-static -X github.com/kubeedge/kubeedge/pkg/version.gitVersion=$KUBEEDGE_VERSION" \
      -o /out/edgecore ./cmd/edgecore

# A shell and cp: keadm copies the program out of the image with them.
FROM debian:bookworm-slim
COPY --from=builder /out/edgecore /usr/local/bin/edgecore
# Root: edgecore is the node's kubelet. It mounts volumes, makes cgroups and speaks to the container runtime's socket. keadm runs it on
# the host, by systemd; only an edgecore with edged.enable: false could do with less.
USER 0:0
ENTRYPOINT ["/usr/local/bin/edgecore"]
