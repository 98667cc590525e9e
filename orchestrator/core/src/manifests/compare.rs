//! Whether a live object says what a manifest says, and where two objects differ.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// `spec.template.spec.containers[0].image`.
    pub field: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Maps below these hold quantities: `1000m` and `1` are the same there.
const QUANTITIES: [&str; 6] =
    ["requests", "limits", "hard", "capacity", "allocatable", "sizeLimit"];

/// Whether `live` says everything that `wanted` says; what it says beyond that is others' business.
pub fn says(live: &Value, wanted: &Value) -> bool {
    covers(live, wanted, false)
}

fn covers(live: &Value, wanted: &Value, quantities: bool) -> bool {
    match (live, wanted) {
        (_, Value::Null) => live.is_null(),
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            let quantities = quantities || QUANTITIES.contains(&key.as_str());
            match live.get(key) {
                Some(live) => covers(live, wanted, quantities),
                None => wanted.is_null() || is_nothing(wanted),
            }
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len()
                && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted, quantities))
        }
        (live, wanted) if quantities => live == wanted || same_quantity(live, wanted),
        (live, wanted) => live == wanted,
    }
}

/// A list or map without anything in it is not kept by a cluster.
fn is_nothing(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn same_quantity(one: &Value, other: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let amount = |value: &Value| text(value).as_deref().and_then(quantity);
    matches!((amount(one), amount(other)), (Some(one), Some(other)) if one == other)
}

/// A quantity in thousandths.
fn quantity(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 3 {
        return None;
    }
    let thousandths: i128 = format!("{whole}{part:0<3}").parse().ok()?;
    let factor: i128 = match unit {
        "m" => return (thousandths % 1000 == 0).then_some(thousandths / 1000),
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    Some(thousandths * factor)
}

/// Where two values differ, field by field, in order.
pub fn differences(old: &Value, new: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    walk("", Some(old), Some(new), &mut found);
    found
}

fn walk(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<FieldChange>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                walk(&below(path, key), old.get(key), new.get(key), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for n in 0..old.len().max(new.len()) {
                walk(&format!("{path}[{n}]"), old.get(n), new.get(n), found);
            }
        }
        (old, new) => {
            found.push(FieldChange { field: path.into(), from: old.map(text), to: new.map(text) });
        }
    }
}

fn below(path: &str, key: &str) -> String {
    // A name with dots in it would read like several.
    let key = if key.contains('.') || key.contains('/') {
        format!("[\"{key}\"]")
    } else {
        key.to_string()
    };
    match (path.is_empty(), key.starts_with('[')) {
        (true, _) => key,
        (false, true) => format!("{path}{key}"),
        (false, false) => format!("{path}.{key}"),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
