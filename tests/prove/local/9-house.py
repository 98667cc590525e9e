#!/usr/bin/env python3
"""Figure 9: the core depends on nothing that does I/O, and imports run one way.

Asks cargo what each crate of the workspace really links, and runs the test that keeps it so.
"""

import json
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import REPO, finish  # noqa: E402

# Whatever opens files, sockets or clocks, or brings a runtime which does. Numbers from a given seed are no I/O:
# `rand` is where it does not bring `getrandom`.
DOES_IO = {
    "tokio", "async-std", "smol", "mio", "polling", "socket2", "rustix", "nix", "libc", "hyper",
    "hyper-util", "reqwest", "ureq", "axum", "rusqlite", "libsqlite3-sys", "sqlx", "sqlx-core",
    "tempfile", "walkdir", "ignore", "globwalk", "notify", "rustls", "getrandom", "fastrand",
    "chrono", "jiff", "time", "git2", "kube", "signal-hook", "tracing-subscriber",
}  # fmt: skip

# From a crate to those of ours that it may use.
MAY_USE = {
    "neuroca-deploy-core": set(),
    "neuroca-deploy-edge": set(),
    "neuroca-deploy-engine": {"neuroca-deploy-core"},
    "neuroca-deploy-local": {"neuroca-deploy-core", "neuroca-deploy-engine", "neuroca-deploy-edge"},
    "neuroca-deploy-prometheus": {"neuroca-deploy-core", "neuroca-deploy-engine"},
    "neuroca-service": set(),
    "neuroca-deploy": {
        "neuroca-deploy-core", "neuroca-deploy-engine", "neuroca-deploy-local",
        "neuroca-deploy-edge", "neuroca-deploy-prometheus",
    },
}  # fmt: skip


def links(package):
    """Names of all that a package links in its normal build."""
    done = subprocess.run(
        ["cargo", "tree", "--locked", "-p", package, "-e", "normal", "--prefix", "none"],
        cwd=REPO, check=True, capture_output=True, text=True,
    )
    return {line.split()[0] for line in done.stdout.splitlines() if line} - {package}


def direct():
    """From each crate of the workspace to those of the workspace that it names."""
    done = subprocess.run(
        ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"],
        cwd=REPO, check=True, capture_output=True, text=True,
    )
    packages = json.loads(done.stdout)["packages"]
    names = {package["name"] for package in packages}
    return {
        package["name"]: sorted(
            dependency["name"]
            for dependency in package["dependencies"]
            if dependency["name"] in names and dependency["kind"] is None
        )
        for package in packages
    }


def main():
    core = links("neuroca-deploy-core")
    edges = direct()
    wrong_way = [
        f"{package} -> {used}"
        for package, uses in edges.items()
        for used in uses
        if package in MAY_USE and used not in MAY_USE[package]
    ]
    test = subprocess.run(
        ["cargo", "test", "--locked", "--quiet", "-p", "neuroca-deploy", "--test", "house"],
        cwd=REPO, check=False, stdout=sys.stderr,
    )
    does_io = sorted(core & DOES_IO)
    finish(
        "House",
        "core links nothing that does I/O; imports run cli -> adapters -> engine -> core; a test says so",
        not does_io and not wrong_way and test.returncode == 0,
        {"core_links": len(core), "core_links_that_do_io": does_io, "wrong_way": wrong_way,
         "imports": edges, "house_test_exit": test.returncode},
    )


if __name__ == "__main__":
    main()
