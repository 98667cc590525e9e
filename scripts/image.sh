#!/usr/bin/env bash
# Makes all that an image of the service holds: image.sh FOLDER. One static executable, the certificates of
# public authorities, the name of a user who is not root, and the one place that may be written to.
set -euo pipefail
root=$(realpath -m "${1:?usage: image.sh FOLDER}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
certificates=/etc/ssl/certs/ca-certificates.crt
[[ -s $certificates ]] || {
    echo "image: $certificates is missing (Debian: apt-get install ca-certificates)" >&2
    exit 1
}

# The flag is for the last link alone: what it is linked from is that of every release build, and procedural
# macros cannot be static.
cargo rustc --locked --release --quiet -p neuroca-service --bin neuroca -- -C target-feature=+crt-static

mkdir -p "$root/data" "$root/etc/ssl/certs"
install -m 755 "${CARGO_TARGET_DIR:-target}/release/neuroca" "$root/neuroca"
install -m 644 "$certificates" "$root/etc/ssl/certs/"
echo 'neuroca:x:65532:65532::/data:/neuroca' >"$root/etc/passwd"
[[ $(id -u) -ne 0 ]] || chown 65532:65532 "$root/data"
