# An image with Portunus in it and nothing else: docker build -t portunus .
#
#   docker run --rm -p 8443:8443 -v ./config.toml:/etc/portunus/config.toml:ro \
#       -v ./certs.d:/etc/portunus/certs.d:ro portunus
#
# It needs no shell, no root, no capability and no writable file: --read-only, --cap-drop ALL,
# --security-opt no-new-privileges and any --user are all right. Only `demo`, unix sockets and files
# of logs want a place to write. deploy/compose and deploy/kubernetes show it at work.

# What builds: Rust and a C compiler on Debian, from anywhere.
ARG RUST=docker.io/library/rust:1.95-bookworm

FROM ${RUST} AS build
WORKDIR /source
COPY . .
# The commit, for portunus_build_info: --build-arg REVISION=$(git rev-parse HEAD).
ARG REVISION=
ENV PORTUNUS_COMMIT=${REVISION}
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --locked --release --package portunus --bin portunus \
    && mkdir -p /image/bin /image/etc/ssl/certs \
    && install -d -m 1777 /image/tmp \
    # Lines of the source are for a debugger, which is not in the image; names of functions stay.
    && strip --strip-debug -o /image/bin/portunus target/release/portunus \
    # A static binary could not look up names: glibc loads that part of itself at run time. So the
    # image gets the loader and the few libraries that the binary names, at the paths it expects.
    && ldd target/release/portunus | grep -o '/[^ ]*' | xargs -I{} cp --parents -L {} /image/ \
    && printf 'hosts: files dns\n' > /image/etc/nsswitch.conf \
    # Who is trusted where a backend has `tls` without `ca`.
    && cp -L /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    # Nobody's, so that a volume that begins as a copy of the folder can be written by that user.
    && install -D -m 0644 deploy/image/config.toml /image/etc/portunus/config.toml \
    && install -d -m 0755 -o 65532 -g 65532 /image/etc/portunus/certs.d

FROM scratch
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="Portunus" \
      org.opencontainers.image.description="A TLS terminator that stands in front of plaintext services" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/ /
# Nobody's number, by which Kubernetes can see that this is not root.
USER 65532:65532
WORKDIR /etc/portunus
ENV PORTUNUS_CONFIG=/etc/portunus/config.toml
# The port of the reference configuration. The admin listener stays on the container's loopback
# unless the configuration gives it a token or a unix socket.
EXPOSE 8443
# Drains; give it more time than `server.drain_delay` and `server.drain_timeout` together.
STOPSIGNAL SIGTERM
# Kubernetes has no use for it: there, /readyz and /livez are asked.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 \
    CMD ["/bin/portunus", "status", "--ready"]
ENTRYPOINT ["/bin/portunus"]
CMD ["run"]
