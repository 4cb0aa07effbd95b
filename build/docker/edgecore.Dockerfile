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
# Root: keadm copies the program out of a container of this image into the host's /usr/local/bin. And edgecore, which it then runs
# by systemd, is the node's kubelet: it mounts volumes, makes cgroups and speaks to the container runtime's socket. Only with
# edged.enable: false does it run as any other user.
USER 0:0
ENTRYPOINT ["/usr/local/bin/edgecore"]
