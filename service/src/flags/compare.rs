//! How values of different kinds meet: what is true, what is a number, what is less.

use std::borrow::Cow;

use serde_json::Value;

/// A number of any JSON value, as comparisons see it.
pub(super) fn number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) if text.trim().is_empty() => 0.0,
        Value::String(text) => text.parse().unwrap_or(f64::NAN),
        Value::Array(_) | Value::Object(_) => f64::NAN,
    }
}

/// A number of a text or a number, as membership sees it: a text that is none counts as 0.
pub(super) fn strict_number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => Some(text.parse().unwrap_or(0.0)),
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}

pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

pub(super) fn less(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one < other,
        _ => number(one) < number(other),
    }
}

/// Equal, after both were made numbers.
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Null, other) => other.is_null(),
        (_, Value::Null) => false,
        (Value::String(one), Value::String(other)) => one == other,
        _ => number(one) == number(other),
    }
}

/// Equal, and of one kind.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other) && equal(one, other)
}

/// A part of a text; `None` for what cannot be one.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => Some(Cow::Borrowed("")),
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => number.as_f64().map(|number| Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// The variant that a rule names by what came of it: `true` and `1` are names, too.
pub(super) fn variant_name(value: &Value) -> Option<String> {
    match value {
        Value::Bool(truth) => Some(truth.to_string()),
        Value::String(_) | Value::Number(_) => text(value).map(Cow::into_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_meet_as_numbers_and_texts_as_texts() {
        for (one, other, equals, lesser) in [
            (json!("1"), json!(1), true, false),
            (json!("10"), json!("9"), false, true),
            (json!("10"), json!(9), false, false),
            (json!(true), json!(1), true, false),
            (json!(null), json!(0), false, false),
            (json!(null), json!(1), false, true),
            (json!(" "), json!(0), true, false),
            (json!("x"), json!(1), false, false),
            (json!([1]), json!([1]), false, false),
        ] {
            assert_eq!(
                (equal(&one, &other), less(&one, &other)),
                (equals, lesser),
                "{one} {other}"
            );
        }
        assert!(same(&json!(1), &json!(1.0)) && !same(&json!(1), &json!("1")));
        assert_eq!(variant_name(&json!(1.0)).as_deref(), Some("1"));
        assert_eq!(text(&json!(1e21)).as_deref(), Some("1000000000000000000000"));
    }
}
