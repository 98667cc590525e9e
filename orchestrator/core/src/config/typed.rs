//! A checked layer: a tree of typed values with their places, and how layers are put together.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::errors::{Place, Problems};

/// A value of the right type.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    pub place: Place,
    /// Where its key is written, if it has one.
    pub key: Option<Place>,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Text, number, boolean, null: anything without parts.
    Leaf(Json),
    /// Replaced as a whole.
    List(Vec<Typed>),
    /// Merged key by key, unless it is `whole`.
    Map { entries: BTreeMap<String, Typed>, whole: bool },
    /// The entry of an earlier layer goes.
    Removed,
}

impl Typed {
    /// The value at `path`.
    pub fn find(&self, path: &[&str]) -> Option<&Typed> {
        path.iter().try_fold(self, |at, name| match &at.value {
            Value::Map { entries, .. } => entries.get(*name),
            Value::List(items) => items.get(name.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// The place of the key, or of the value if it has none.
    pub fn named(&self) -> &Place {
        self.key.as_ref().unwrap_or(&self.place)
    }

    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Leaf(json) => json.clone(),
            Value::List(items) => items.iter().map(Typed::to_json).collect(),
            Value::Map { entries, .. } => entries
                .iter()
                .filter(|(_, entry)| !matches!(entry.value, Value::Removed))
                .map(|(name, entry)| (name.clone(), entry.to_json()))
                .collect(),
            Value::Removed => Json::Null,
        }
    }
}

/// Puts `over` on top of `base`: maps key by key, everything else as a whole.
pub(super) fn merge(
    base: Option<Typed>,
    over: Typed,
    path: &str,
    problems: &mut Problems,
) -> Typed {
    let Typed { place, key, value } = over;
    let Value::Map { entries: overs, whole: false } = value else {
        return Typed { place, key, value };
    };
    let mut entries = match base {
        Some(Typed { value: Value::Map { entries, whole: false }, .. }) => entries,
        _ => BTreeMap::new(),
    };
    for (name, entry) in overs {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let earlier = entries.remove(&name);
        if matches!(entry.value, Value::Removed) {
            if earlier.is_none() {
                let message = format!("`{path}` is null, but nothing before gives it");
                problems.hint(
                    &entry.place,
                    message,
                    "null removes what an earlier file gives; leave it out",
                );
            }
        } else {
            entries.insert(name, merge(earlier, entry, &path, problems));
        }
    }
    Typed { place, key, value: Value::Map { entries, whole: false } }
}
