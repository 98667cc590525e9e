//! `rollout preview`: a policy and some traffic, from the command line.

use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;
use serde_json::Value;

const POLICY: &str = "\
project: shop
rollout:
  strategy: canary
  steps: [{weight: 10, pause: 1m}, {weight: 50, pause: 1m}]
components:
  web:
    artifact: dist
    command: [./web]
";

struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    fn new(policy: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("environments")).expect("a folder");
        std::fs::write(dir.path().join("environments/production.yaml"), policy).expect("a file");
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_neuroca-deploy"))
            .args(["rollout", "preview", "production"])
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .output()
            .expect("the binary runs")
    }

    fn shown(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        text(&out.stdout)
    }

    fn refused(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert_eq!(out.status.code(), Some(64), "{args:?}: {}", text(&out.stdout));
        text(&out.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_page_with_a_plot() {
    let project = Project::new(POLICY);
    let page = project.shown(&["--rps", "300", "--runs", "5", "--seed", "7"]);
    assert!(!page.contains('\x1b'), "no colours off a terminal");
    let lines: Vec<&str> = page.lines().collect();
    assert_eq!(lines[0], "shop/production  300 rps, 0.1 % errors, p50 50 ms");
    assert_eq!(lines[1], "10 % 1m → 50 % 1m → 100 %");
    assert_eq!(lines[2], "5 runs each, seed 7");
    for (start, what) in [
        ("  has all of the traffic", "5 of 5, after 2m"),
        ("latency 2x     100 %", ""),
        ("errors 10x ", "█"),
        ("latency 2x ", "██"),
        ("note: pods are alike", ""),
    ] {
        let found = lines.iter().any(|line| line.starts_with(start) && line.contains(what));
        assert!(found, "{start}...{what} is not in\n{page}");
    }
}

#[test]
fn too_little_traffic_is_told_with_what_would_help() {
    let page = Project::new(POLICY).shown(&["--rps", "0.2", "--runs", "3", "--latency-p50", "20"]);
    assert!(page.contains("gets no verdict         3 of 3"), "{page}");
    let advice = page.lines().find(|line| line.starts_with("advice: ")).expect("advice");
    assert!(advice.contains("step 1 (10 %)") && advice.contains("decide_within"), "{advice}");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let project = Project::new(POLICY);
    for json in [&["--json"][..], &[]] {
        let args = |seed| [&["--rps", "100", "--runs", "6", "--seed", seed][..], json].concat();
        assert_eq!(project.shown(&args("3")), project.shown(&args("3")));
        assert_ne!(project.shown(&args("3")), project.shown(&args("4")));
    }
}

#[test]
fn a_script_gets_one_document() {
    let project = Project::new(POLICY);
    let args = ["--rps", "300", "--error-rate", "0.2%", "--pods", "3", "--runs", "5", "--json"];
    let document: Value = serde_json::from_str(&project.shown(&args)).expect("JSON");
    assert_eq!((&document["format"], &document["kind"]), (&1.into(), &"preview".into()));
    assert_eq!((&document["project"], &document["runs"]), (&"shop".into(), &5.into()));
    assert_eq!(document["traffic"]["error_rate"], 0.002);
    assert_eq!(document["traffic"]["pods"], 3);
    let healthy = &document["healthy"];
    for field in ["turned_back", "inconclusive", "promoted"] {
        assert_eq!(healthy[field]["of"], 5, "{field}");
    }
    assert!(healthy["seconds_to_promote"]["median"].is_number());
    let faults = document["faults"].as_array().expect("a list");
    let names: Vec<String> = faults.iter().map(|f| f["fault"].to_string()).collect();
    assert_eq!(
        names,
        [
            r#"{"errors":2.0}"#,
            r#"{"errors":5.0}"#,
            r#"{"errors":10.0}"#,
            r#"{"latency":1.2}"#,
            r#"{"latency":2.0}"#
        ]
    );
    for field in ["turned_back", "never_seen", "seconds_to_see", "requests_exposed"] {
        assert!(faults[4][field].is_object(), "{field}");
    }
    assert!(document["advice"].is_array());
}

#[test]
fn numbers_that_are_none_are_refused() {
    let project = Project::new(POLICY);
    for (args, why) in [
        (&["--rps", "0"][..], "above 0"),
        (&["--rps", "NaN"], "above 0"),
        (&["--rps", "-3"], "--rps"),
        (&["--rps", "1e9"], "up to 1000000"),
        (&["--rps", "9", "--error-rate", "0"], "no service is without errors"),
        (&["--rps", "9", "--error-rate", "80%"], "below 50 %"),
        (&["--rps", "9", "--error-rate", "nan"], "below 50 %"),
        (&["--rps", "9", "--latency-p50", "0"], "milliseconds"),
        (&["--rps", "9", "--pods", "0"], "1..=1000"),
        (&["--rps", "9", "--runs", "0"], "1..=100000"),
        (&[], "--rps"),
    ] {
        let told = project.refused(args);
        assert!(told.contains(why), "{args:?}: {told}");
    }
}

#[test]
fn a_policy_that_judges_nothing_is_told() {
    let plain = Project::new(&POLICY.replace("canary", "blue_green").replace("  steps", "  #"));
    assert_snapshot!(plain.refused(&["--rps", "9"]), @r"
    error: production: the strategy is not `canary`, so all of the traffic moves at once and nothing is judged
    hint: try one out: neuroca-deploy rollout preview production --rps 9 --set rollout.strategy=canary
    ");
    let told = plain.refused(&["--rps", "9", "--json"]);
    assert_eq!(told, "");
    let unjudged = Project::new(&POLICY.replace("pause: 1m", "analysis: false"));
    assert!(unjudged.refused(&["--rps", "9"]).contains("no step is judged"));
    let deaf = Project::new(&format!("{POLICY}    port: false\n"));
    assert!(deaf.refused(&["--rps", "9"]).contains("no component listens"));
}

#[test]
fn an_analysis_without_a_metric_is_a_mistake_in_the_file() {
    let source = "  analysis: {prometheus: {url: 'http://127.0.0.1:9090'}}\ncomponents";
    let project = Project::new(&POLICY.replace("components", source));
    assert_snapshot!(project.refused(&["--rps", "9"]), @r#"
    error: environments/production.yaml:5:14: `rollout.analysis.prometheus.requests` is missing
    hint: PromQL: requests, as in `my_requests_total{revision="{{revision}}"}`
    error: environments/production.yaml:5:14: `rollout.analysis.prometheus.errors` is missing
    hint: PromQL: those of them that failed, as in `my_errors_total{revision="{{revision}}"}`
    "#);
}
