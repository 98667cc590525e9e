//! A [`Node`] against the shape that is expected: everything that is wrong, and what is right.

use std::collections::BTreeMap;

use serde_json::{Number, Value as Json};

use super::bare::{is_null, taken_for};
use super::errors::{Place, Problems, suggest};
use super::fractions::{Factor, Percent};
use super::shape::{Record, Shape, Shapes, Slot};
use super::tree::{Entry, Node, Value};
use super::typed::{self, Typed};
use super::units::{Bytes, Millis};

/// Checks layers against the model.
pub(super) struct Checker<'a> {
    pub shapes: &'a Shapes,
    pub problems: &'a mut Problems,
    /// Paths at which something was wrong and was left out.
    pub broken: &'a mut Vec<String>,
}

/// Where in the document the check is.
#[derive(Clone, Copy)]
struct Spot<'a> {
    path: &'a str,
    /// A value that may be a secret stays out of messages.
    hide: bool,
    /// Nothing may be missing: it is not merged with other layers.
    complete: bool,
}

impl Checker<'_> {
    /// The right parts of a layer.
    pub fn layer(&mut self, node: Node) -> Typed {
        let place = node.place.clone();
        let slot = self.shapes.root();
        let empty = typed::Value::Map { entries: BTreeMap::new(), whole: false };
        let spot = Spot { path: "", hide: false, complete: false };
        self.value(slot, node, spot).unwrap_or(Typed { place, key: None, value: empty })
    }

    /// Says what is missing from the sum of all layers.
    pub fn missing(&mut self, slot: Slot<'_>, whole: &Typed, path: &str) {
        let typed::Value::Map { entries, whole: false } = &whole.value else { return };
        match slot.shape {
            Shape::Record(record) => {
                let given = |name: &str| entries.contains_key(name);
                self.required(&record, &given, whole.named(), path);
                for (name, schema) in &record.fields {
                    if let Some(entry) = entries.get(*name) {
                        self.missing(self.shapes.slot(schema), entry, &join(path, name));
                    }
                }
            }
            Shape::Map(values) => {
                for (name, entry) in entries {
                    self.missing(self.shapes.slot(values), entry, &join(path, name));
                }
            }
            _ => {}
        }
    }

    fn required(
        &mut self,
        record: &Record<'_>,
        given: &dyn Fn(&str) -> bool,
        place: &Place,
        path: &str,
    ) {
        for name in &record.required {
            let full = join(path, name);
            if !given(name) && !self.broken.iter().any(|b| *b == full || b == path) {
                let message = format!("`{full}` is missing");
                match record.field(name).and_then(meaning) {
                    Some(meaning) => self.problems.hint(place, message, meaning),
                    None => self.problems.add(place, message),
                }
                self.broken.push(full);
            }
        }
    }

    fn value(&mut self, slot: Slot<'_>, node: Node, spot: Spot<'_>) -> Option<Typed> {
        let place = node.place.clone();
        let found = self.found(slot, node, spot);
        if found.is_none() {
            self.broken.push(spot.path.to_string());
        }
        found.map(|value| Typed { place, key: None, value })
    }

    fn found(&mut self, slot: Slot<'_>, node: Node, spot: Spot<'_>) -> Option<typed::Value> {
        let Node { place, value } = &node;
        if let Value::Scalar { text, bare: true } = value
            && slot.nullable
            && is_null(text)
        {
            return Some(typed::Value::Leaf(Json::Null));
        }
        let leaf = |json: Json| Some(typed::Value::Leaf(json));
        match (slot.shape, value) {
            (Shape::Text, Value::Scalar { text, bare }) => {
                match taken_for(text).filter(|_| *bare) {
                    Some(kind) => {
                        self.ambiguous(text, kind, place, spot);
                        None
                    }
                    None => leaf(Json::String(text.clone())),
                }
            }
            (Shape::Duration, Value::Scalar { text, .. }) if !text.is_empty() => {
                self.unit::<Millis>(text, place, spot).and_then(leaf)
            }
            (Shape::Size, Value::Scalar { text, .. }) if !text.is_empty() => {
                self.unit::<Bytes>(text, place, spot).and_then(leaf)
            }
            (Shape::Percent, Value::Scalar { text, .. }) if !text.is_empty() => {
                self.unit::<Percent>(text, place, spot).and_then(leaf)
            }
            (Shape::Factor, Value::Scalar { text, .. }) if !text.is_empty() => {
                self.unit::<Factor>(text, place, spot).and_then(leaf)
            }
            (Shape::Words(words), Value::Scalar { text, .. }) if !text.is_empty() => {
                self.word(&words, text, place, spot).and_then(leaf)
            }
            (Shape::Boolean, Value::Scalar { text, bare: true })
                if text == "true" || text == "false" =>
            {
                leaf(Json::Bool(text == "true"))
            }
            (Shape::Boolean, _) => self.wrong("true or false", &node, spot),
            (Shape::Integer { min, max }, Value::Scalar { text, bare: true })
                if !text.is_empty() =>
            {
                self.integer((min, max), text, place, spot).and_then(leaf)
            }
            (Shape::Integer { .. }, _) => self.wrong("a whole number without quotes", &node, spot),
            (Shape::List(items), Value::List(_)) => Some(self.list(items, node, spot)),
            (Shape::List(_), _) => self.wrong("a list", &node, spot),
            (Shape::Map(values), Value::Map(_)) => Some(self.map(values, node, spot)),
            (Shape::Record(record), Value::Map(_)) => Some(self.record(&record, node, spot)),
            (Shape::Variant(choices), Value::Map(_)) => self.variant(&choices, node, spot),
            (Shape::Map(_) | Shape::Record(_) | Shape::Variant(_), _) => {
                self.wrong("a map", &node, spot)
            }
            (Shape::Duration, _) => self.wrong("a duration such as `30s`", &node, spot),
            (Shape::Size, _) => self.wrong("a size such as `64KiB`", &node, spot),
            (Shape::Percent, _) => self.wrong("a percentage such as `0.5%`", &node, spot),
            (Shape::Factor, _) => self.wrong("a number such as `1.15`", &node, spot),
            (Shape::Text | Shape::Words(_) | Shape::Unknown, _) => self.wrong("text", &node, spot),
        }
    }

    fn wrong(&mut self, expected: &str, node: &Node, spot: Spot<'_>) -> Option<typed::Value> {
        let found = node.describe(spot.hide);
        let message = match spot.path {
            "" => format!("the document must be {expected}, not {found}"),
            path => format!("`{path}` must be {expected}, not {found}"),
        };
        self.problems.add(&node.place, message);
        None
    }

    fn ambiguous(&mut self, text: &str, kind: &str, place: &Place, spot: Spot<'_>) {
        let path = spot.path;
        let (message, hint) = match (text.is_empty(), spot.hide) {
            (true, _) => {
                (format!("`{path}` has no value"), "write \"\" for empty text".to_string())
            }
            (_, true) => (
                format!(
                    "`{path}` must be text, but this without quotes is {kind} to some readers of YAML"
                ),
                "put quotes around it".into(),
            ),
            _ => (
                format!(
                    "`{path}` must be text, but `{text}` without quotes is {kind} to some readers of YAML"
                ),
                format!("put quotes around it: \"{text}\""),
            ),
        };
        self.problems.hint(place, message, hint);
    }

    fn unit<T: std::str::FromStr<Err = String>>(
        &mut self,
        text: &str,
        place: &Place,
        spot: Spot<'_>,
    ) -> Option<Json> {
        match text.parse::<T>() {
            Ok(_) => Some(Json::String(text.into())),
            Err(why) => {
                self.problems.add(place, format!("`{}`: {why}", spot.path));
                None
            }
        }
    }

    fn word(&mut self, words: &[&str], text: &str, place: &Place, spot: Spot<'_>) -> Option<Json> {
        if words.contains(&text) {
            return Some(Json::String(text.into()));
        }
        let message = format!("`{}` cannot be `{text}`", spot.path);
        let known = || format!("known: {}", words.join(", "));
        let hint = suggest(text, words.iter().copied()).unwrap_or_else(known);
        self.problems.hint(place, message, hint);
        None
    }

    fn integer(
        &mut self,
        (min, max): (i128, i128),
        text: &str,
        place: &Place,
        spot: Spot<'_>,
    ) -> Option<Json> {
        let path = spot.path;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = digits.chars().all(|c| c.is_ascii_digit()) && !digits.is_empty();
        if !plain || (digits.len() > 1 && digits.starts_with('0')) {
            let message = format!("`{path}` must be a whole number, not `{text}`");
            let hint = "digits only: no sign, point, separator, exponent or leading zero";
            self.problems.hint(place, message, hint);
            return None;
        }
        match text.parse::<i128>() {
            Ok(number) if (min..=max).contains(&number) => {
                i64::try_from(number).ok().map(|n| Json::Number(Number::from(n)))
            }
            _ => {
                self.problems
                    .add(place, format!("`{path}` must be from {min} to {max}, not {text}"));
                None
            }
        }
    }

    fn list(&mut self, items: &Json, node: Node, spot: Spot<'_>) -> typed::Value {
        let Value::List(nodes) = node.value else { return typed::Value::List(Vec::new()) };
        let mut found = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let path = join(spot.path, &index.to_string());
            let spot = Spot { path: &path, complete: true, ..spot };
            found.extend(self.value(self.shapes.slot(items), node, spot));
        }
        typed::Value::List(found)
    }

    fn map(&mut self, values: &Json, node: Node, spot: Spot<'_>) -> typed::Value {
        let Value::Map(nodes) = node.value else { return typed::Value::Removed };
        let mut entries = BTreeMap::new();
        for (name, Entry { key_place, key_bare, node }) in nodes {
            let path = join(spot.path, &name);
            if let Some(kind) = taken_for(&name).filter(|_| key_bare) {
                let message =
                    format!("the key `{name}` without quotes is {kind} to some readers of YAML");
                self.problems.hint(
                    &key_place,
                    message,
                    format!("put quotes around it: \"{name}\""),
                );
                self.broken.push(path);
                continue;
            }
            let hide = spot.hide || may_be_secret(&path);
            let found = match &node.value {
                Value::Scalar { text, bare: true } if !text.is_empty() && is_null(text) => {
                    Some(Typed { place: node.place, key: None, value: typed::Value::Removed })
                }
                _ => self.value(self.shapes.slot(values), node, Spot { path: &path, hide, ..spot }),
            };
            if let Some(found) = found {
                entries.insert(name, Typed { key: Some(key_place), ..found });
            }
        }
        typed::Value::Map { entries, whole: false }
    }

    fn record(&mut self, record: &Record<'_>, node: Node, spot: Spot<'_>) -> typed::Value {
        let Value::Map(nodes) = node.value else { return typed::Value::Removed };
        let mut entries = BTreeMap::new();
        if spot.complete {
            let given = |name: &str| nodes.contains_key(name);
            self.required(record, &given, &node.place, spot.path);
        }
        for (name, Entry { key_place, node, .. }) in nodes {
            let Some(schema) = record.field(&name) else {
                let known = record.fields.iter().map(|(name, _)| *name);
                self.unknown(&name, known, &key_place, spot);
                continue;
            };
            let path = join(spot.path, &name);
            let hide = spot.hide || may_be_secret(&path);
            let slot = self.shapes.slot(schema);
            if let Some(found) = self.value(slot, node, Spot { path: &path, hide, ..spot }) {
                entries.insert(name, Typed { key: Some(key_place), ..found });
            }
        }
        typed::Value::Map { entries, whole: spot.complete }
    }

    fn variant(
        &mut self,
        choices: &[(&str, &Json)],
        node: Node,
        spot: Spot<'_>,
    ) -> Option<typed::Value> {
        let place = node.place.clone();
        let fields = choices.to_vec();
        let record = Record { fields, required: Vec::new() };
        let before = self.problems.0.len();
        let value = self.record(&record, node, Spot { complete: true, ..spot });
        match &value {
            typed::Value::Map { entries, .. } if entries.len() == 1 => Some(value),
            _ => {
                if self.problems.0.len() == before {
                    let names: Vec<_> =
                        choices.iter().map(|(name, _)| format!("`{name}`")).collect();
                    let message =
                        format!("`{}` needs exactly one of {}", spot.path, names.join(", "));
                    self.problems.add(&place, message);
                }
                None
            }
        }
    }

    fn unknown<'k>(
        &mut self,
        name: &str,
        known: impl Iterator<Item = &'k str> + Clone,
        place: &Place,
        spot: Spot<'_>,
    ) {
        let message = match spot.path {
            "" => format!("unknown key `{name}`"),
            path => format!("unknown key `{name}` in `{path}`"),
        };
        let hint = match name {
            "extends" => "`extends` stands at the top of a file only".to_string(),
            _ => suggest(name, known.clone())
                .unwrap_or_else(|| format!("known: {}", known.collect::<Vec<_>>().join(", "))),
        };
        self.problems.hint(place, message, hint);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

/// Whether a value at this path may be a secret that somebody wrote down by mistake.
fn may_be_secret(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or_default().to_ascii_uppercase();
    name == "SECRETS"
        || path.starts_with("components.") && path.contains(".secrets.")
        || ["PASSWORD", "SECRET", "TOKEN", "_KEY", "_URL"].iter().any(|part| name.contains(part))
}

/// The first sentence of what the schema says about a setting.
fn meaning(schema: &Json) -> Option<String> {
    let description = schema["description"].as_str()?.replace('\n', " ");
    let first = description.split(". ").next()?.trim_end_matches('.').to_owned();
    Some(first).filter(|first| !first.is_empty())
}
