//! Files to manifests: every mistake with its file and line, all of them at once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::kinds::{Kinds, removed};
use super::{Id, Manifest, yaml};
use crate::config::defaults;
use crate::render::RenderedFile;

/// A manifest, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    pub manifest: Manifest,
    /// `kubernetes/web.yaml:12`.
    pub at: String,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub at: String,
    pub message: String,
    pub hint: Option<String>,
}

const FOLDER: &str = "kubernetes/";

/// The user's own manifests among the rendered documents: those in `kubernetes/` that are none of the tool's.
pub fn read(documents: &[RenderedFile]) -> Result<Vec<Read>, Vec<Problem>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for file in documents.iter().filter(|file| is_own(&file.path)) {
        match yaml::documents(&file.text) {
            Ok(all) => all.into_iter().for_each(|document| {
                take(&file.path, document, &mut found, &mut problems);
            }),
            Err((line, message)) => {
                problems.push(Problem { at: format!("{}:{line}", file.path), message, hint: None });
            }
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

fn is_own(path: &str) -> bool {
    let is_manifest = [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end));
    let ours = |path: &str| {
        defaults().iter().any(|(name, _)| name.strip_suffix(".tera").unwrap_or(name) == path)
    };
    path.starts_with(FOLDER) && is_manifest && !ours(path)
}

/// A document is one object, or a list of them.
fn take(file: &str, document: yaml::Found, found: &mut Vec<Read>, problems: &mut Vec<Problem>) {
    let is_list = document.value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match document.value {
        Value::Object(mut list) if is_list && list.get("items").is_some_and(Value::is_array) => {
            let Some(Value::Array(items)) = list.remove("items") else { return };
            for (n, item) in items.into_iter().enumerate() {
                let line = document.items.get(n).copied().unwrap_or(document.line);
                one(format!("{file}:{line}"), item, found, problems);
            }
        }
        value => one(format!("{file}:{}", document.line), value, found, problems),
    }
}

fn one(at: String, object: Value, found: &mut Vec<Read>, problems: &mut Vec<Problem>) {
    match checked(object) {
        Ok(manifest) => found.push(Read { manifest, at }),
        Err((message, hint)) => {
            problems.push(Problem { at, message, hint: hint.map(String::from) })
        }
    }
}

fn checked(mut object: Value) -> Result<Manifest, (String, Option<&'static str>)> {
    let Some(map) = object.as_object_mut() else {
        return Err((
            "this is no object: a manifest is a map with apiVersion, kind and metadata".into(),
            None,
        ));
    };
    for key in ["apiVersion", "kind"] {
        if map.get(key).and_then(Value::as_str).is_none_or(str::is_empty) {
            let hint = "further files that are no manifests belong outside of `kubernetes/`";
            return Err((format!("this object has no `{key}`"), Some(hint)));
        }
    }
    // Filled in by a cluster, and left in files that were taken from one.
    map.remove("status");
    let kind = map["kind"].as_str().unwrap_or_default().to_string();
    let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Err((format!("this {kind} has no `metadata`"), None));
    };
    for key in
        ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"]
    {
        metadata.remove(key);
    }
    if metadata.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
        let hint = metadata
            .contains_key("generateName")
            .then_some("a generated name is another object each time: give it a name");
        return Err((format!("this {kind} has no name"), hint));
    }
    let manifest = Manifest(object);
    if manifest.kind().is("", "Secret") && holds_values(&manifest.0) {
        return Err((
            format!(
                "{} holds its values in plain text, and would bring them into plans and records",
                manifest.id()
            ),
            Some(
                "give them as `secrets` of a component, or let an operator such as External Secrets make the Secret",
            ),
        ));
    }
    Ok(manifest)
}

fn holds_values(secret: &Value) -> bool {
    ["data", "stringData"]
        .iter()
        .any(|key| secret[key].as_object().is_some_and(|map| !map.is_empty()))
}

/// The manifests as the cluster will know them: with namespaces, each of a kind that is served, no object twice.
/// Sorted, so that the same files give the same bytes.
pub fn complete(
    read: Vec<Read>,
    kinds: &Kinds,
    namespace: &str,
) -> Result<Vec<Read>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut sorted: BTreeMap<Id, Read> = BTreeMap::new();
    for Read { mut manifest, at } in read {
        let kind = manifest.kind();
        let Some(served) = kinds.get(&kind) else {
            problems.push(unserved(&manifest, &at, kinds));
            continue;
        };
        let metadata = &mut manifest.0["metadata"];
        match served.namespaced {
            true if metadata["namespace"].is_null() => metadata["namespace"] = namespace.into(),
            true => {}
            false => {
                metadata.as_object_mut().map(|map| map.remove("namespace"));
            }
        }
        let id = manifest.id();
        if let Some(first) = sorted.get(&id) {
            problems.push(Problem {
                message: format!("{id} is given twice; first at {}", first.at),
                at,
                hint: Some("keep one of them".into()),
            });
            continue;
        }
        sorted.insert(id, Read { manifest, at });
    }
    if problems.is_empty() { Ok(sorted.into_values().collect()) } else { Err(problems) }
}

fn unserved(manifest: &Manifest, at: &str, kinds: &Kinds) -> Problem {
    let kind = manifest.kind();
    let (at, version) = (at.to_string(), kind.api_version());
    if let Some((since, instead)) = removed(&kind) {
        let hint = match instead {
            "" => "nothing takes its place; leave it out".to_string(),
            instead => {
                format!("write `apiVersion: {instead}`, and see what has changed in its fields")
            }
        };
        let message = format!("{}: {version} was removed in Kubernetes {since}", manifest.id());
        return Problem { at, message, hint: Some(hint) };
    }
    let message = format!("the cluster knows no {} in {version}", kind.kind);
    let versions: Vec<String> = kinds
        .0
        .keys()
        .filter(|known| known.kind == kind.kind)
        .map(|known| known.api_version())
        .collect();
    let hint = if !versions.is_empty() {
        format!("it knows it in {}", versions.join(", "))
    } else if let Some(near) = near(&kind.kind, kinds) {
        format!("did you mean `{near}`?")
    } else {
        "add its CustomResourceDefinition to `kubernetes/`, or install what brings it".to_string()
    };
    Problem { at, message, hint: Some(hint) }
}

fn near<'a>(word: &str, kinds: &'a Kinds) -> Option<&'a str> {
    let scored = kinds
        .0
        .keys()
        .map(|kind| (strsim::damerau_levenshtein(word, &kind.kind), kind.kind.as_str()));
    scored.filter(|(distance, _)| *distance <= 2).min().map(|(_, kind)| kind)
}
