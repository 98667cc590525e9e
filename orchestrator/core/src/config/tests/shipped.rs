//! The files that the binary carries.

use insta::assert_snapshot;

use super::*;
use crate::config::{defaults, schema};

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
    // Whoever reads memories needs the key to them: the API and the worker.
    assert_eq!(secrets("staging"), ["env:NEUROCA_SECRET_KEY"; 2]);
    assert_eq!(secrets("production"), ["env:NEUROCA_SECRET_KEY"; 2]);
}

#[test]
fn production_explained() {
    let lines: Vec<String> = shipped("production")
        .explain()
        .iter()
        .filter(|line| line.origin != "default")
        .map(|line| format!("{} = {}  ({})", line.path, line.value, line.origin))
        .collect();
    assert_snapshot!(lines.join("\n"));
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
