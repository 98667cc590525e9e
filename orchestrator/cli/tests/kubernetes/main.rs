//! A project on a real cluster, through the real binary: deployed, shifted, turned back, gone back from, destroyed, and
//! its driver killed.
//!
//! What a client of the gateway gets is what counts; the tool's own words are only asked for their shape.
#![allow(clippy::print_stderr)] // what is left out is said

mod kill;
mod project;

use std::time::Duration;

use project::{Project, told};
use serde_json::Value;

#[test]
fn blue_green_turned_back_rollback_and_destroy_without_a_failed_request() {
    let Some(project) = Project::new("blue", "strategy: blue_green") else { return };
    project.apply(0, &[]);
    assert_eq!(project.ask(""), (200, "one".into()));
    // Nothing is to be changed: 0, where 2 stands for changes.
    project.run(0, &["plan", "staging", "--detailed-exitcode"]);

    let two = "components.web.env.SPECIMEN_VERSION=two";
    let (_, versions, failed) = project.under_load(|| project.apply(0, &[two]));
    assert_eq!(failed, [0u16; 0], "{versions:?}");
    assert!(versions.contains_key("one") && versions.contains_key("two"), "{versions:?}");
    assert_eq!(project.ask(""), (200, "two".into()));

    // It is never ready: it gets nothing, and what it says is told.
    let bad = "components.web.kubernetes.image=cluster.test/nowhere:1";
    let (text, versions, failed) = project
        .under_load(|| project.apply(5, &[two, bad, "components.web.health.start_timeout=10s"]));
    assert_eq!(
        (failed, versions.keys().map(String::as_str).collect::<Vec<_>>()),
        (vec![], vec!["two"])
    );
    assert!(text.contains("cluster.test/nowhere:1"), "{text}");
    let crash =
        ["components.web.env.SPECIMEN_ERRORS=none", "components.web.health.start_timeout=60s"];
    let text = project.apply(5, &[two, crash[0], crash[1]]);
    assert!(text.contains("exited with status"), "{text}");
    assert_eq!(project.ask(""), (200, "two".into()));

    // From another machine, without the project's files being changed.
    let elsewhere = project.folder.path().join("elsewhere");
    let words = ["--json", "history", "staging"];
    let out = project.command_in(&elsewhere, &words).output().expect("it runs");
    let history: Value = serde_json::from_str(&told(&out, 0, &words)).expect("JSON");
    assert_eq!(history["entries"].as_array().map(Vec::len), Some(4));
    let (_, _, failed) = project.under_load(|| {
        let words = ["rollback", "staging", "-y"];
        let out = project.command_in(&elsewhere, &words).output().expect("it runs");
        told(&out, 0, &words)
    });
    assert_eq!(failed, [0u16; 0]);
    assert_eq!(project.ask(""), (200, "one".into()));
    let status = project.run(0, &["status", "staging"]);
    assert!(status.contains("2/2") && status.contains("100%"), "{status}");
    let logs = project.run(0, &["logs", "staging", "web"]);
    assert!(logs.contains("web-"), "{logs}");

    // What is somebody else's stays.
    project.kubectl(&["create", "configmap", "theirs"]);
    project.run(0, &["destroy", "staging", "-y"]);
    assert_eq!(project.kubectl(&["get", "deployments,services,httproutes", "-o", "name"]), "");
    project.run(0, &["destroy", "staging", "-y", "--purge"]);
    assert_eq!(project.kubectl(&["get", "secrets,leases", "-o", "name"]), "");
    assert!(project.kubectl(&["get", "configmaps", "-o", "name"]).contains("configmap/theirs"));
}

#[test]
fn a_canary_gets_the_share_that_its_step_says_and_an_abort_takes_it_back() {
    let steps = "strategy: canary, steps: [{weight: 20, gate: true, analysis: false}]";
    let Some(project) = Project::new("canary", steps) else { return };
    project.apply(0, &[]);
    let two = "components.web.env.SPECIMEN_VERSION=two";
    // Nobody is there to promote: it stops at the gate, with the split in force.
    project.apply(8, &[two]);
    let (_, versions, failed) = project.under_load(|| std::thread::sleep(Duration::from_secs(5)));
    assert_eq!(failed, [0u16; 0]);
    let (one, two_) = (versions["one"] as f64, versions["two"] as f64);
    let share = two_ / (one + two_);
    assert!((0.12..0.28).contains(&share), "{versions:?}");
    assert_eq!(project.ask("x-neuroca-preview: 1\r\n"), (200, "two".into()));

    let (_, _, failed) = project.under_load(|| project.run(0, &["rollout", "abort", "staging"]));
    assert_eq!(failed, [0u16; 0]);
    let (_, versions, _) = project.under_load(|| std::thread::sleep(Duration::from_secs(1)));
    assert_eq!(versions.keys().collect::<Vec<_>>(), ["one"]);

    project.apply(8, &[two]);
    let (_, _, failed) = project.under_load(|| {
        project.run(0, &["rollout", "promote", "staging"]);
        project.until_ended();
    });
    assert_eq!(failed, [0u16; 0]);
    assert_eq!(project.ask(""), (200, "two".into()));
    project.run(0, &["destroy", "staging", "-y", "--purge"]);
}
