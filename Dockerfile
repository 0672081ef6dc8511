# An image with Portunus in it and nothing else: docker build -t portunus .
#
#   docker run --rm -p 8443:8443 -v ./config.toml:/etc/portunus/config.toml:ro \
#       -v ./certs.d:/etc/portunus/certs.d:ro portunus
#
# It needs no shell, no root, no capability and no writable file: --read-only, --cap-drop ALL and
# --security-opt no-new-privileges are all right. Only `demo` and unix sockets want a place to write.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --locked --release --package portunus --bin portunus \
    && mkdir -p /image/bin /image/etc/portunus \
    && install -d -m 1777 /image/tmp \
    && cp target/release/portunus /image/bin/ \
    # A static binary could not look up names: glibc loads that part of itself at run time. So the
    # image gets the loader and the few libraries that the binary names, at the paths it expects.
    && ldd target/release/portunus | grep -o '/[^ ]*' | xargs -I{} cp --parents -L {} /image/ \
    && printf 'hosts: files dns\n' > /image/etc/nsswitch.conf

FROM scratch
LABEL org.opencontainers.image.title="Portunus" \
      org.opencontainers.image.description="A TLS terminator that stands in front of plaintext services" \
      org.opencontainers.image.licenses="Apache-2.0"
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
ENTRYPOINT ["/bin/portunus"]
CMD ["run"]
