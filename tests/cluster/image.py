#!/usr/bin/env python3
"""Packs programs of this machine into a container image: no engine, no registry.

    image.py OUT.tar REFERENCE ENTRYPOINT [--workdir DIR] SOURCE:/TARGET ...

A program that is linked dynamically takes its libraries along. The archive is an OCI layout, which
`ctr images import` reads; the same inputs give the same bytes.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
# Nobody's number, as in distroless images; manifests say it again.
USER = "65532:65532"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}


def libraries(program):
    """Absolute paths of what the program loads when it starts, its loader included."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", told)


def contents(pairs):
    """Path in the image to the file here."""
    files = {}
    for pair in pairs:
        source, target = pair.split(":", 1)
        files[target] = source
        for library in libraries(source):
            files[library] = library
    return files


def layer(files):
    """The files with their folders and a /tmp, as a tar without anything of this machine's clock."""
    folders = {"tmp": 0o1777}
    for target in files:
        parent = os.path.dirname(target).strip("/")
        while parent:
            folders.setdefault(parent, 0o755)
            parent = os.path.dirname(parent)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in sorted(folders):
            folder = tarfile.TarInfo(path)
            folder.type, folder.mode = tarfile.DIRTYPE, folders[path]
            tar.addfile(folder)
        for target in sorted(files):
            with open(files[target], "rb") as source:
                content = source.read()
            file = tarfile.TarInfo(target.lstrip("/"))
            file.size = len(content)
            file.mode = 0o755 if os.access(files[target], os.X_OK) else 0o644
            tar.addfile(file, io.BytesIO(content))
    return out.getvalue()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def image(reference, entrypoint, workdir, files):
    """The files of an OCI layout, by path."""
    blobs = {}

    def blob(kind, content):
        blobs["blobs/sha256/" + digest(content).split(":")[1]] = content
        return {"mediaType": kind, "digest": digest(content), "size": len(content)}

    def document(kind, value):
        return blob(kind, json.dumps(value, sort_keys=True).encode())

    tar = layer(files)
    manifest = document(MANIFEST, {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": document(CONFIG, {
            "architecture": ARCHITECTURE[os.uname().machine],
            "os": "linux",
            "config": {"Entrypoint": [entrypoint], "WorkingDir": workdir, "User": USER},
            "rootfs": {"type": "layers", "diff_ids": [digest(tar)]},
        }),
        # Level 1: packed once, read once, on the same machine.
        "layers": [blob(LAYER, gzip.compress(tar, 1, mtime=0))],
    })
    manifest["annotations"] = {"io.containerd.image.name": reference}
    index = {"schemaVersion": 2, "manifests": [manifest]}
    return {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps(index, sort_keys=True).encode(),
        **blobs,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("reference")
    parser.add_argument("entrypoint")
    parser.add_argument("files", nargs="+", metavar="SOURCE:/TARGET")
    parser.add_argument("--workdir", default="/")
    asked = parser.parse_args()
    parts = image(asked.reference, asked.entrypoint, asked.workdir, contents(asked.files))
    with tarfile.open(asked.out + ".part", "w") as tar:
        for path in sorted(parts):
            file = tarfile.TarInfo(path)
            file.size = len(parts[path])
            tar.addfile(file, io.BytesIO(parts[path]))
    os.replace(asked.out + ".part", asked.out)


if __name__ == "__main__":
    main()
