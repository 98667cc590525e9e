# The NCA service as an image of one static binary and the certificates of public authorities: no shell, no libc, no
# package manager, no root.
#
#     docker build -t neuroca .
#     docker run --read-only -v neuroca:/data -p 8000:8000 neuroca
#
# BUILDER is any image with the Rust of Cargo.toml, a C compiler and ca-certificates.
ARG BUILDER=rust:1.95-bookworm

FROM ${BUILDER} AS build
WORKDIR /source
COPY . .
RUN scripts/image.sh /image

FROM scratch
COPY --from=build /image/etc /etc
COPY --from=build /image/neuroca /
# Copies belong to root unless it is said.
COPY --from=build --chown=65532:65532 /image/data /data
USER 65532:65532
# The one place that it writes to, if its database is a file.
WORKDIR /data
VOLUME /data
ENV HOST=0.0.0.0 PORT=8000
EXPOSE 8000
ENTRYPOINT ["/neuroca"]
CMD ["serve"]
