//! The files that the binary carries.

use insta::assert_snapshot;

use super::*;
use crate::config::{defaults, explain, schema};

fn shipped(environment: &str) -> Resolved {
    let text = |name: &str| {
        let found = defaults().iter().find(|(path, _)| *path == name);
        file(name, found.unwrap_or_else(|| panic!("no {name}")).1)
    };
    let mut files = vec![text(&format!("environments/{environment}.yaml"))];
    while let Some(base) = base_of(&files).expect("a chain") {
        files.push(text(&base));
    }
    files.reverse();
    resolve(&Inputs { files, ..Inputs::default() })
        .unwrap_or_else(|e| panic!("{environment}:\n{e}"))
}

const ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];

#[test]
fn the_shipped_environments_are_valid_and_have_ports_of_their_own() {
    let mut ports = Vec::new();
    for name in ENVIRONMENTS {
        let edge = shipped(name).environment.edge;
        ports.push(edge.listen);
        ports.extend(edge.metrics_listen);
    }
    let all = ports.len();
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), all, "{ports:?}");
}

#[test]
fn development_needs_no_secret_and_the_others_have_theirs_by_reference() {
    let secrets = |name: &str| -> Vec<String> {
        let components = shipped(name).environment.components;
        components.values().flat_map(|c| c.secrets.values().cloned()).collect()
    };
    assert!(secrets("development").is_empty());
    assert_eq!(secrets("staging"), ["env:NEUROCA_SECRET_KEY"]);
    assert_eq!(secrets("production"), ["env:NEUROCA_SECRET_KEY"]);
}

#[test]
fn production_explained() {
    let lines: Vec<String> = explain(&shipped("production"))
        .iter()
        .filter(|line| line.origin != "default")
        .map(|line| format!("{} = {}  ({})", line.path, line.value, line.origin))
        .collect();
    assert_snapshot!(lines.join("\n"), @r#"
    components.api.artifact = bundled  (environments/base.yaml:25)
    components.api.command = ["./neuroca","serve"]  (environments/base.yaml:26)
    components.api.drain = 30s  (environments/production.yaml:27)
    components.api.env.NEUROCA_DB_URL = sqlite://${data_dir}/nca.db  (environments/base.yaml:34)
    components.api.env.NEUROCA_ENV = production  (environments/production.yaml:29)
    components.api.env.NEUROCA_LOG_LEVEL = info  (environments/base.yaml:32)
    components.api.health.path = /health/ready  (environments/base.yaml:30)
    components.api.logs.keep = 10  (environments/production.yaml:34)
    components.api.logs.max_size = 50MiB  (environments/production.yaml:33)
    components.api.migrate = ["./neuroca","migrate"]  (environments/base.yaml:28)
    components.api.replicas = 2  (environments/production.yaml:26)
    components.api.secrets.NEUROCA_SECRET_KEY = env:NEUROCA_SECRET_KEY  (environments/production.yaml:31)
    components.worker.artifact = bundled  (environments/base.yaml:38)
    components.worker.command = ["./neuroca","worker"]  (environments/base.yaml:39)
    components.worker.drain = 30s  (environments/production.yaml:36)
    components.worker.env.NEUROCA_DB_URL = sqlite://${data_dir}/nca.db  (environments/base.yaml:34)
    components.worker.env.NEUROCA_ENV = production  (environments/production.yaml:38)
    components.worker.env.NEUROCA_LOG_LEVEL = info  (environments/base.yaml:32)
    components.worker.port = false  (environments/base.yaml:40)
    edge.listen = 127.0.0.1:8082  (environments/production.yaml:13)
    edge.max_body = 16MiB  (environments/base.yaml:15)
    edge.metrics_listen = 127.0.0.1:9092  (environments/production.yaml:14)
    edge.sticky.cookie = nca-revision  (environments/base.yaml:14)
    project = nca  (environments/base.yaml:6)
    rollout.deadline = 15m  (environments/production.yaml:21)
    rollout.rollback_window = 1h  (environments/production.yaml:22)
    rollout.strategy = blue_green  (environments/base.yaml:19)
    rollout.watch = 30s  (environments/production.yaml:20)
    target = local  (environments/base.yaml:9)
    "#);
}

#[test]
fn every_default_is_the_file_in_the_repository_and_sorted() {
    assert!(defaults().is_sorted_by_key(|(path, _)| *path));
    for (path, _) in defaults().iter().filter(|(path, _)| path.starts_with("environments/")) {
        let text = defaults().iter().find(|(p, _)| p == path).map(|(_, text)| *text);
        let first = text.and_then(|t| t.lines().next()).unwrap_or_default();
        assert_eq!(
            first, "# yaml-language-server: $schema=../docs/schema/environment.json",
            "{path}"
        );
    }
}

#[test]
fn a_resolved_environment_written_as_yaml_reads_the_same() {
    for name in ENVIRONMENTS {
        let environment = shipped(name).environment;
        let text = serde_yaml::to_string(&environment).expect("YAML");
        assert_eq!(resolved(&[&text]).environment, environment, "{text}");
    }
}

#[test]
fn the_schema_asks_for_nothing_at_the_top_and_is_the_same_each_time() {
    let schema = schema();
    assert_eq!(schema.to_string(), super::super::schema().to_string());
    assert!(schema.get("required").is_none());
    assert_eq!(schema["properties"]["extends"]["type"], "string");
    for (name, required) in
        [("Component", false), ("Tls", false), ("Route", true), ("HeaderRoute", true)]
    {
        assert_eq!(schema["$defs"][name].get("required").is_some(), required, "{name}");
    }
    let env = &schema["$defs"]["Component"]["properties"]["env"]["additionalProperties"];
    assert_eq!(env["anyOf"][1]["type"], "null", "null takes back: {env}");
}

#[test]
fn the_environments_of_the_example_are_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hello/");
    let read = |name: &str| {
        let path = format!("{folder}{name}");
        file(name, &std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}")))
    };
    let mut files = vec![read("environments/development.yaml")];
    while let Some(base) = base_of(&files).expect("a chain") {
        files.push(read(&base));
    }
    files.reverse();
    resolve(&Inputs { files, ..Inputs::default() }).unwrap_or_else(|e| panic!("{e}"));
}
