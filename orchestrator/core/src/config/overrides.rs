//! `PATH=VALUE` from a flag or a variable, as a layer.
//!
//! What the value means follows from what the path expects: text is taken as it stands, so no quotes
//! are needed; lists and maps are written as YAML, `[a, b]`.

use std::collections::BTreeMap;

use super::bare::is_null;
use super::errors::{Place, Problems};
use super::read::read;
use super::shape::{Shape, Shapes, Slot};
use super::tree::{Entry, Node, Value};

/// Reads one override; `place` makes a place of a path.
pub(super) fn read_override(
    text: &str,
    place: &dyn Fn(&str) -> Place,
    shapes: &Shapes,
    problems: &mut Problems,
) -> Option<Node> {
    let Some((path, value)) = text.split_once('=') else {
        // The text itself may be a secret; it stays out of the message.
        let hint = "for example `components.api.replicas=3`";
        problems.hint(&place(""), "an override is PATH=VALUE, but one has no `=`", hint);
        return None;
    };
    let path = path.trim();
    let names: Vec<&str> = path.split('.').collect();
    let here = place(path);
    if names.iter().any(|name| name.is_empty()) {
        problems.add(&here, "a part of the path is empty");
        return None;
    }
    let value = value_of(expected(shapes, &names, &here, problems)?, value, &here, problems)?;
    Some(names.into_iter().rev().fold(value, |node, name| {
        let entry = Entry { key_place: here.clone(), key_bare: false, node };
        Node { place: here.clone(), value: Value::Map(BTreeMap::from([(name.to_string(), entry)])) }
    }))
}

/// What the path leads to. A path that leads nowhere is left to the check, which knows how to say it.
fn expected<'a>(
    shapes: &'a Shapes,
    names: &[&str],
    place: &Place,
    problems: &mut Problems,
) -> Option<Slot<'a>> {
    let mut slot = shapes.root();
    for (depth, name) in names.iter().enumerate() {
        let schema = match &slot.shape {
            Shape::Record(record) => record.field(name),
            Shape::Map(values) => Some(*values),
            Shape::Variant(choices) => {
                choices.iter().find(|(n, _)| n == name).map(|(_, schema)| *schema)
            }
            Shape::List(_) => {
                let parent = names[..depth].join(".");
                let hint = format!("for example `{parent}=[first, second]`");
                problems.hint(place, format!("`{parent}` is a list; it is set as a whole"), hint);
                return None;
            }
            _ => {
                let parent = names[..depth].join(".");
                problems.add(
                    place,
                    format!("`{parent}` is a single value; there is no `{name}` in it"),
                );
                return None;
            }
        };
        match schema {
            Some(schema) => slot = shapes.slot(schema),
            None => return Some(Slot { shape: Shape::Text, nullable: false }),
        }
    }
    Some(slot)
}

fn value_of(slot: Slot<'_>, text: &str, place: &Place, problems: &mut Problems) -> Option<Node> {
    let scalar =
        |bare| Node { place: place.clone(), value: Value::Scalar { text: text.into(), bare } };
    match slot.shape {
        _ if slot.nullable && is_null(text) => Some(scalar(true)),
        Shape::Boolean | Shape::Integer { .. } => Some(scalar(true)),
        Shape::List(_) | Shape::Map(_) | Shape::Record(_) | Shape::Variant(_) => {
            read(text, &|_, _| place.clone(), problems)
        }
        _ => Some(scalar(false)),
    }
}
