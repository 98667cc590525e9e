//! What a live object means: whose it is, and which of it counts as its state.

use serde_json::{Map, Value};

use super::{ENVIRONMENT, EPOCH, MANAGER, MANIFEST};
use crate::digest::Digest;

/// Whether this environment brought it about. The label alone does not say so: whoever copies an object copies its
/// labels, but not who wrote it.
pub fn is_ours(live: &Value, instance: &str) -> bool {
    let labelled = live["metadata"]["labels"][ENVIRONMENT] == instance;
    let managers = live["metadata"]["managedFields"].as_array();
    let applied = |entry: &Value| entry["manager"] == MANAGER && entry["operation"] == "Apply";
    labelled && managers.into_iter().flatten().any(applied)
}

/// Whether nobody but us has written it since we did last. Who writes a status or another part of it that is kept
/// apart does not count; who wrote in the same second may have been later.
pub fn is_as_written(live: &Value) -> bool {
    let entries = live["metadata"]["managedFields"].as_array().into_iter().flatten();
    let (ours, others): (Vec<&Value>, Vec<&Value>) =
        entries.partition(|entry| entry["manager"] == MANAGER && entry["operation"] == "Apply");
    let Some(written) = ours.iter().filter_map(|entry| entry["time"].as_str()).max() else {
        return false;
    };
    let apart = |entry: &Value| entry["subresource"].as_str().is_some_and(|part| !part.is_empty());
    // All of one form, in UTC: their order as texts is that in time.
    let before = |entry: &Value| entry["time"].as_str().is_some_and(|time| time < written);
    others.into_iter().all(|entry| apart(entry) || before(entry))
}

/// Whose it is, for people.
pub fn owner(live: &Value) -> String {
    let metadata = &live["metadata"];
    let text = |value: &Value| value.as_str().map(String::from);
    if let Some(release) = text(&metadata["annotations"]["meta.helm.sh/release-name"]) {
        return format!("Helm (release {release})");
    }
    if let Some(environment) = text(&metadata["labels"][ENVIRONMENT]) {
        return format!("the environment {environment} of neuroca-deploy");
    }
    if let Some(tool) = text(&metadata["labels"]["app.kubernetes.io/managed-by"]) {
        return format!("`{tool}`");
    }
    if let Some(label) = metadata["labels"]
        .as_object()
        .and_then(|all| all.keys().find(|key| key.starts_with("kapp.k14s.io/")))
    {
        return format!("kapp ({label})");
    }
    if let Some(owner) = metadata["ownerReferences"].get(0) {
        let part = |key: &str| owner[key].as_str().unwrap_or_default().to_string();
        return format!("the {} {}", part("kind"), part("name"));
    }
    let managers = metadata["managedFields"].as_array().into_iter().flatten();
    match managers.filter_map(|entry| text(&entry["manager"])).next_back() {
        Some(manager) => format!("`{manager}`, who wrote it last"),
        None => "somebody else".into(),
    }
}

/// Whether removing it takes along what no manifest can bring back: data, or all objects of a kind or namespace.
pub fn is_protected(live: &Value) -> bool {
    matches!(
        (live["apiVersion"].as_str().unwrap_or_default().split('/').next(), live["kind"].as_str()),
        (Some("v1"), Some("Namespace" | "PersistentVolumeClaim" | "PersistentVolume"))
            | (Some("apiextensions.k8s.io"), Some("CustomResourceDefinition"))
    )
}

/// What an operator means by the object: not its status, not who wrote it when, not our own notes.
pub(super) fn content(live: &Value) -> Value {
    let mut content = live.clone();
    let Some(map) = content.as_object_mut() else { return content };
    map.remove("status");
    if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in
            ["managedFields", "resourceVersion", "generation", "creationTimestamp", "selfLink"]
        {
            metadata.remove(key);
        }
        without(metadata, "annotations", &[MANIFEST, EPOCH, "deployment.kubernetes.io/revision"]);
        without(metadata, "labels", &[ENVIRONMENT]);
    }
    content
}

fn without(metadata: &mut Map<String, Value>, field: &str, keys: &[&str]) {
    let Some(map) = metadata.get_mut(field).and_then(Value::as_object_mut) else { return };
    keys.iter().for_each(|key| {
        map.remove(*key);
    });
    if map.is_empty() {
        metadata.remove(field);
    }
}

/// The digest of the object's state; what it was made from counts, when it was looked at does not.
pub fn state(live: &Value) -> Digest {
    Digest::of(&content(live))
}
