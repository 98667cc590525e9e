//! The published schema, asked by a validator that is not ours: the shipped files are valid by it, and
//! what the tool refuses for its shape is refused by it too.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two levels up").into()
}

/// The schema as the binary prints it.
fn schema() -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neuroca-deploy"));
    let out = command.args(["config", "--schema"]).output().expect("the binary runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&schema()).expect("JSON");
    jsonschema::meta::validate(&schema).expect("a schema by its own schema");
    jsonschema::validator_for(&schema).expect("a schema")
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What is wrong with it, with places.
fn mistakes(validator: &jsonschema::Validator, text: &str) -> Vec<String> {
    let value = yaml(text);
    validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

#[test]
fn the_published_schema_is_the_one_that_the_binary_prints() {
    let published = std::fs::read_to_string(root().join("docs/schema/environment.json"));
    assert!(
        published.is_ok_and(|text| text == schema()),
        "write it anew: neuroca-deploy config --schema > docs/schema/environment.json"
    );
}

#[test]
fn every_shipped_environment_file_is_valid() {
    let validator = validator();
    let mut seen = 0;
    for folder in ["environments", "examples/hello/environments"] {
        for entry in std::fs::read_dir(root().join(folder)).expect("it is there").flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("readable");
            let found = mistakes(&validator, &text);
            assert!(found.is_empty(), "{}: {found:#?}", entry.path().display());
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} files");
    // The examples of the documentation as well.
    let docs = std::fs::read_dir(root().join("docs")).expect("it is there").flatten();
    let pages = docs.map(|e| e.path()).chain([root().join("README.md")]);
    for page in pages.filter(|p| p.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(&page).expect("readable");
        for block in text.split("```yaml\n").skip(1).filter_map(|b| b.split("```").next()) {
            // A file of artifacts is another kind of file.
            if block.contains("digest:") {
                continue;
            }
            let found = mistakes(&validator, block);
            assert!(found.is_empty(), "{}: {found:#?} in\n{block}", page.display());
        }
    }
}

#[test]
fn what_the_tool_refuses_for_its_shape_the_schema_refuses_too() {
    let validator = validator();
    for (wrong, place) in [
        ("rolout: {}\n", ""),
        ("components: {api: {replcas: 2}}\n", "/components/api"),
        ("components: {api: {replicas: many}}\n", "/components/api"),
        ("components: {api: {drain: [1]}}\n", "/components/api"),
        ("components: {api: {command: serve}}\n", "/components/api"),
        ("rollout: {strategy: blue-green}\n", "/rollout/strategy"),
        ("target: moon\n", "/target"),
    ] {
        let found = mistakes(&validator, wrong);
        assert!(found.iter().any(|m| m.starts_with(&format!("{place}: "))), "{wrong}: {found:#?}");
        let folder = tempfile::tempdir().expect("a folder");
        let environments = folder.path().join("environments");
        std::fs::create_dir(&environments).expect("made");
        let base = "project: p\ncomponents: {api: {artifact: a, command: [x]}}\n";
        std::fs::write(environments.join("base.yaml"), base).expect("written");
        std::fs::write(environments.join("e.yaml"), format!("extends: base\n{wrong}"))
            .expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_neuroca-deploy"));
        let out = command.args(["config", "e"]).current_dir(folder.path()).output().expect("runs");
        assert_eq!(out.status.code(), Some(64), "{wrong}");
    }
    // And what takes something back, or is not finished, is fine.
    for right in
        ["components: {api: null}\n", "extends: base\n", "components: {api: {env: {A: null}}}\n"]
    {
        assert_eq!(mistakes(&validator, right), Vec::<String>::new(), "{right}");
    }
}
