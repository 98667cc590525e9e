//! The house rules, asked of cargo: `core` does no I/O, imports run one way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two levels up").into()
}

fn cargo(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO")).args(args).current_dir(root()).output().expect("cargo");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

#[test]
fn core_depends_on_nothing_that_does_io() {
    let tree = cargo(&[
        "tree",
        "--locked",
        "--offline",
        "-p",
        "neuroca-deploy-core",
        "-e",
        "normal",
        "--prefix",
        "none",
    ]);
    let names: BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains("serde"), "this is not the tree of core: {tree}");
    // `rand` is not among them: without `getrandom` it has no dice, only seeds, and those are values.
    let banned = [
        "async-std",
        "axum",
        "fastrand",
        "getrandom",
        "h2",
        "hyper",
        "hyper-util",
        "jiff",
        "libsqlite3-sys",
        "mio",
        "nix",
        "polling",
        "reqwest",
        "rusqlite",
        "rustix",
        "rustls",
        "signal-hook",
        "smol",
        "socket2",
        "sqlx",
        "tempfile",
        "time",
        "tokio",
        "uuid",
    ];
    let found: Vec<&&str> = banned.iter().filter(|name| names.contains(**name)).collect();
    assert!(found.is_empty(), "core links what does I/O, reads clocks or rolls dice: {found:?}");
}

#[test]
fn core_uses_no_files_sockets_clocks_or_threads_of_the_standard_library() {
    let mut folders = vec![root().join("orchestrator/core/src")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source file");
            // Tests may read what they like; they do not ship.
            let is_test = path.components().any(|c| c.as_os_str() == "tests")
                || path.file_name().is_some_and(|n| n == "tests.rs");
            if is_test {
                continue;
            }
            let shipped = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            for banned in [
                "std::fs",
                "TcpStream",
                "TcpListener",
                "UdpSocket",
                "ToSocketAddrs",
                "std::os",
                "std::env::",
                "std::process",
                "std::thread",
                "SystemTime",
                "Instant::",
                "std::io::stdin",
                "std::io::stdout",
                "std::io::stderr",
            ] {
                assert!(!shipped.contains(banned), "{} uses {banned}", path.display());
            }
            read += 1;
        }
    }
    assert!(read > 20, "only {read} files were read");
}

#[test]
fn imports_run_one_way() {
    let core = "neuroca-deploy-core";
    let engine = "neuroca-deploy-engine";
    let edge = "neuroca-deploy-edge";
    let kubernetes = "neuroca-deploy-kubernetes";
    let local = "neuroca-deploy-local";
    let prometheus = "neuroca-deploy-prometheus";
    let may_use: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::from([
        (core, BTreeSet::new()),
        (edge, BTreeSet::new()),
        (engine, BTreeSet::from([core])),
        (kubernetes, BTreeSet::from([core, engine])),
        (local, BTreeSet::from([core, engine, edge])),
        (prometheus, BTreeSet::from([core, engine])),
        ("neuroca-deploy", BTreeSet::from([core, engine, edge, kubernetes, local, prometheus])),
        ("neuroca-service", BTreeSet::new()),
    ]);
    let metadata =
        cargo(&["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let own = |name: &str| name.starts_with("neuroca-deploy");
    let mut checked = 0;
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let Some(allowed) = may_use.get(name) else { continue };
        checked += 1;
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let used = dependency["name"].as_str().expect("a name");
            assert!(
                !own(used) || allowed.contains(used),
                "{name} uses {used}: imports run cli -> adapters -> engine -> core, and local -> edge"
            );
        }
    }
    assert_eq!(checked, may_use.len(), "a package of the map in ARCHITECTURE.md is gone");
}
