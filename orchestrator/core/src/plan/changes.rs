//! The differences between two releases, setting by setting.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::release::Release;

/// One setting that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The component, or `None` for settings of the whole environment.
    pub component: Option<String>,
    /// Dotted path below the component or the environment.
    pub setting: String,
    pub kind: ChangeKind,
    /// Old and new value as one line; `(changed)` for secrets.
    pub from: Option<String>,
    pub to: Option<String>,
    /// Which file or flag says so.
    pub because: Option<Origin>,
}

/// What happened to a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Add,
    Change,
    Remove,
}

/// Where a value came from, for people: `environments/production.yaml:12`, `--set`.
pub type Origin = String;

/// All differences, sorted by component and setting.
pub fn between(
    current: Option<&Release>,
    desired: &Release,
    origin: &dyn Fn(&str) -> Option<Origin>,
) -> Vec<Change> {
    let old = current.map(flatten).unwrap_or_default();
    let new = flatten(desired);
    let mut keys: Vec<&Key> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| change(key, old.get(key), new.get(key), origin))
        .collect()
}

type Key = (Option<String>, String);

fn change(
    (component, setting): &Key,
    old: Option<&String>,
    new: Option<&String>,
    origin: &dyn Fn(&str) -> Option<Origin>,
) -> Change {
    let kind = match (old, new) {
        (None, _) => ChangeKind::Add,
        (_, None) => ChangeKind::Remove,
        _ => ChangeKind::Change,
    };
    let path = match component {
        Some(component) => format!("components.{component}.{setting}"),
        None => setting.clone(),
    };
    let secret = setting.starts_with("secrets.");
    let shown = |value: Option<&String>| {
        value.map(|v| if secret { "(changed)".to_string() } else { v.clone() })
    };
    let (from, to) = match kind {
        ChangeKind::Change if secret => (None, shown(new)),
        _ => (shown(old), shown(new)),
    };
    Change {
        component: component.clone(),
        setting: setting.clone(),
        kind,
        from,
        to,
        because: origin(&path).or_else(|| nearest(&path, origin)),
    }
}

/// The origin of the closest setting above, when the path itself has none.
fn nearest(path: &str, origin: &dyn Fn(&str) -> Option<Origin>) -> Option<Origin> {
    let (parent, _) = path.rsplit_once('.')?;
    origin(parent).or_else(|| nearest(parent, origin))
}

fn flatten(release: &Release) -> BTreeMap<Key, String> {
    let mut out = BTreeMap::new();
    for (name, component) in &release.components {
        let key = |setting: &str| (Some(name.clone()), setting.to_string());
        // An image says all of it, below `kubernetes`.
        if component.spec.kubernetes.image.is_none() {
            let text = format!("{} ({})", component.spec.artifact, component.artifact.short(12));
            out.insert(key("artifact"), text);
        }
        if let Some(nonce) = &component.restarted {
            out.insert(key("restarted"), nonce.clone());
        }
        for (secret, version) in &component.secrets {
            let text = format!("{} {}", version.reference, version.version);
            out.insert(key(&format!("secrets.{secret}")), text);
        }
        let mut spec = to_value(&component.spec);
        for done in ["artifact", "secrets"] {
            spec.as_object_mut().expect("a component is a map").remove(done);
        }
        walk(&spec, "", &mut |path, value| {
            out.insert(key(path), value);
        });
    }
    let whole = [
        ("edge", to_value(&release.edge)),
        ("rollout", to_value(&release.rollout)),
        ("retention", to_value(&release.retention)),
        ("kubernetes", to_value(&release.kubernetes)),
    ];
    for (name, value) in whole {
        walk(&value, name, &mut |path, value| {
            out.insert((None, path.to_string()), value);
        });
    }
    if let Some(version) = &release.version {
        out.insert((None, "release".into()), version.clone());
    }
    for (path, digest) in &release.rendered {
        out.insert((None, format!("rendered.{path}")), digest.short(12).into());
    }
    out
}

fn to_value<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("plain values have a JSON form")
}

/// Calls `leaf` with the dotted path and text of each value; lists are one value.
fn walk(value: &Value, path: &str, leaf: &mut dyn FnMut(&str, String)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(value, &path, leaf);
            }
        }
        Value::Null => {}
        Value::String(text) => leaf(path, text.clone()),
        other => leaf(path, other.to_string()),
    }
}
