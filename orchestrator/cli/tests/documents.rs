//! What scripts read: versioned documents and events, and the paths and types in them.

mod hello;

use std::collections::BTreeSet;

use hello::Hello;
use serde_json::Value;

#[test]
fn scripts_get_versioned_documents_and_events() {
    let hello = Hello::new();
    let mut words = vec!["--json"];
    words.extend(["apply", "development", "-y"]);
    let (stdout, stderr) = hello.expect(0, &words);
    assert_eq!(stderr, "");
    let events: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    assert!(events.iter().all(|e| e["format"] == 1));
    let kinds: Vec<&str> = events.iter().filter_map(|e| e["kind"].as_str()).collect();
    assert_eq!(kinds.first(), Some(&"plan"));
    assert_eq!(kinds.last(), Some(&"outcome"));
    let done: Vec<&str> = events
        .iter()
        .filter(|e| e["kind"] == "effect" && e["phase"] == "done")
        .filter_map(|e| e["effect"]["effect"].as_str())
        .collect();
    let expected = ["store_artifact", "seal_secrets", "start_revision", "route", "route", "record"];
    assert_eq!(done, expected);
    let last = events.last().expect("an event");
    assert_eq!(last["outcome"], "deployed");
    insta::assert_snapshot!("shapes", shapes(&hello, &events));

    let words = [
        "--json",
        "apply",
        "development",
        "-y",
        "--set",
        "components.hello.env.SICK=1",
        "--set",
        "components.hello.health.start_timeout=500ms",
    ];
    let (stdout, _) = hello.expect(5, &words);
    let last: Value = serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON");
    assert_eq!((last["kind"].as_str(), last["exit"].as_i64()), (Some("error"), Some(5)));
    assert_eq!(last["reason"], "turned_back");
}

/// The paths and types of every document, which scripts rely on.
fn shapes(hello: &Hello, events: &[Value]) -> String {
    let mut found: BTreeSet<String> = Default::default();
    let mut documents = events.to_vec();
    for words in [
        &["plan", "development"][..],
        &["status", "development"],
        &["history", "development"],
        &["rollout", "status", "development"],
        &["local", "status", "development"],
        &["doctor", "development"],
        &["config", "development", "--explain"],
        &["unlock", "development"],
        &["version"],
    ] {
        documents.push(hello.json(words));
    }
    for document in documents {
        let kind = document["kind"].as_str().expect("a kind").to_string();
        walk(&document, &kind, &mut found);
    }
    found.into_iter().collect::<Vec<_>>().join("\n")
}

fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    use serde_json::Value::{Array, Bool, Null, Number, Object, String};
    match value {
        Object(fields) => {
            for (name, value) in fields {
                // Evidence depends on when it was looked at.
                if name == "trouble" {
                    continue;
                }
                // Names that are data: revisions and rendered documents.
                let name = if name.starts_with("hello-") { "REVISION" } else { name };
                walk(value, &format!("{path}.{name}"), found);
            }
        }
        Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), found)),
        Null => {}
        Bool(_) => _ = found.insert(format!("{path}: bool")),
        Number(_) => _ = found.insert(format!("{path}: number")),
        String(_) => _ = found.insert(format!("{path}: string")),
    }
}
