//! `sem_ver`: compares versions. `v1` and `1.2` are versions, too; what follows a `+` does not count.

use std::cmp::Ordering;

use semver::{BuildMetadata, Version};
use serde_json::Value;

use super::compare::text;

/// Whether `[version, operator, version]` holds; null if it is not that.
pub(super) fn compare(operands: &Value) -> Value {
    let holds = match operands.as_array().map(Vec::as_slice) {
        Some([one, Value::String(operator), other]) => holds(one, operator, other),
        _ => None,
    };
    holds.map_or(Value::Null, Value::Bool)
}

fn holds(one: &Value, operator: &str, other: &Value) -> Option<bool> {
    let (one, other) = (read(one)?, read(other)?);
    let order = one.cmp_precedence(&other);
    Some(match operator {
        "=" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        ">=" => order != Ordering::Less,
        "^" => one.major == other.major,
        "~" => (one.major, one.minor) == (other.major, other.minor),
        _ => return None,
    })
}

fn read(value: &Value) -> Option<Version> {
    let text = match value {
        Value::String(_) | Value::Number(_) => text(value)?,
        _ => return None,
    };
    let text = text.strip_prefix(['v', 'V']).unwrap_or(&text);
    let missing = match text.bytes().filter(|byte| *byte == b'.').count() {
        // Only a bare number may leave out the rest.
        0 if text.bytes().all(|byte| byte.is_ascii_digit()) => ".0.0",
        1 if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => ".0",
        _ => "",
    };
    let version = Version::parse(&format!("{text}{missing}")).ok()?;
    Some(Version { build: BuildMetadata::EMPTY, ..version })
}
