//! What is expected where: the JSON Schema of the model, read as a tree of shapes.
//!
//! The model's types are the only source; a field added there is known here.

use serde_json::Value;

use super::model::Environment;

/// The schema of a resolved environment.
pub(super) struct Shapes {
    root: Value,
}

/// What one value has to be, and whether it may be absent.
#[derive(Debug, Clone)]
pub(super) struct Slot<'a> {
    pub shape: Shape<'a>,
    pub nullable: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Shape<'a> {
    Text,
    Duration,
    Size,
    /// `0.5%`.
    Percent,
    /// `1.15`.
    Factor,
    Boolean,
    Integer {
        min: i128,
        max: i128,
    },
    /// One of these words.
    Words(Vec<&'a str>),
    List(&'a Value),
    /// Any keys, values of one shape.
    Map(&'a Value),
    /// Known keys.
    Record(Record<'a>),
    /// A map with exactly one of these keys; replaced as a whole.
    Variant(Vec<(&'a str, &'a Value)>),
    /// The schema says something that this module cannot read; a test rules it out.
    Unknown,
}

#[derive(Debug, Clone)]
pub(super) struct Record<'a> {
    pub fields: Vec<(&'a str, &'a Value)>,
    pub required: Vec<&'a str>,
}

impl<'a> Record<'a> {
    pub fn field(&self, name: &str) -> Option<&'a Value> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, schema)| *schema)
    }
}

impl Shapes {
    pub fn new() -> Self {
        Self { root: schemars::schema_for!(Environment).to_value() }
    }

    pub fn root(&self) -> Slot<'_> {
        self.slot(&self.root)
    }

    /// Reads a part of the schema.
    pub fn slot<'a>(&'a self, schema: &'a Value) -> Slot<'a> {
        let mut schema = schema;
        let mut nullable = false;
        loop {
            if let Some(name) = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
                match name {
                    "Millis" => return Slot { shape: Shape::Duration, nullable },
                    "Bytes" => return Slot { shape: Shape::Size, nullable },
                    "Percent" => return Slot { shape: Shape::Percent, nullable },
                    "Factor" => return Slot { shape: Shape::Factor, nullable },
                    _ => schema = &self.root["$defs"][name],
                }
            } else if let Some(choices) = schema["anyOf"].as_array() {
                nullable |= choices.iter().any(|c| c["type"] == "null");
                match choices.iter().find(|c| c["type"] != "null") {
                    Some(choice) => schema = choice,
                    None => return Slot { shape: Shape::Unknown, nullable },
                }
            } else {
                break;
            }
        }
        if let Some(types) = schema["type"].as_array() {
            nullable |= types.iter().any(|t| t == "null");
        }
        Slot { shape: shape(schema), nullable }
    }
}

fn shape(schema: &Value) -> Shape<'_> {
    if let Some(choices) = schema["oneOf"].as_array() {
        let words: Option<Vec<_>> = choices.iter().map(|c| c["const"].as_str()).collect();
        return match words {
            Some(words) => Shape::Words(words),
            None => variant(choices),
        };
    }
    if let Some(words) = schema["enum"].as_array() {
        return match words.iter().map(Value::as_str).collect() {
            Some(words) => Shape::Words(words),
            None => Shape::Unknown,
        };
    }
    let kind = match &schema["type"] {
        Value::Array(types) => types.iter().find(|t| *t != "null").and_then(Value::as_str),
        one => one.as_str(),
    };
    match kind {
        Some("string") => Shape::Text,
        Some("boolean") => Shape::Boolean,
        Some("integer") => integer(schema),
        Some("array") => Shape::List(&schema["items"]),
        Some("object") => match (&schema["properties"], &schema["additionalProperties"]) {
            (Value::Object(fields), _) => Shape::Record(Record {
                fields: fields.iter().map(|(name, schema)| (name.as_str(), schema)).collect(),
                required: strings(&schema["required"]),
            }),
            (_, values @ Value::Object(_)) => Shape::Map(values),
            _ => Shape::Unknown,
        },
        _ => Shape::Unknown,
    }
}

fn variant(choices: &[Value]) -> Shape<'_> {
    let only_field =
        |choice: &Value| choice["properties"].as_object().is_some_and(|f| f.len() == 1);
    if !choices.iter().all(only_field) {
        return Shape::Unknown;
    }
    let fields = choices.iter().filter_map(|c| c["properties"].as_object()?.iter().next());
    Shape::Variant(fields.map(|(name, schema)| (name.as_str(), schema)).collect())
}

fn integer(schema: &Value) -> Shape<'_> {
    let bits = match schema["format"].as_str() {
        Some("uint8") => u8::MAX.into(),
        Some("uint16") => u16::MAX.into(),
        Some("uint32") => u32::MAX.into(),
        _ => i128::from(i64::MAX),
    };
    let bound = |key: &str| schema[key].as_i64().map(i128::from);
    Shape::Integer {
        min: bound("minimum").unwrap_or(i128::from(i64::MIN)),
        max: bound("maximum").map_or(bits, |max| max.min(bits)),
    }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(shapes: &Shapes, schema: &Value, path: &str) {
        match shapes.slot(schema).shape {
            Shape::Unknown => {
                panic!("{path}: the model says something that the reader cannot read: {schema}")
            }
            Shape::List(items) | Shape::Map(items) => walk(shapes, items, &format!("{path}.*")),
            Shape::Record(Record { fields, .. }) | Shape::Variant(fields) => {
                for (name, schema) in fields {
                    walk(shapes, schema, &format!("{path}.{name}"));
                }
            }
            _ => {}
        }
    }

    #[test]
    fn every_part_of_the_model_is_understood() {
        let shapes = Shapes::new();
        walk(&shapes, &shapes.root, "");
    }
}
