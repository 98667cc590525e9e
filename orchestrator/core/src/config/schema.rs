//! The JSON Schema of an environment file, for editors.

use serde_json::{Value, json};

use super::model::Environment;

/// The schema. A file is one layer of several, so nothing is required in it but inside of lists,
/// and what an earlier file gives can be taken back with null.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Environment).to_value();
    let whole = inside_lists(&schema);
    relax(&mut schema);
    if let Some(defs) = schema["$defs"].as_object_mut() {
        for (name, def) in defs {
            if !whole.contains(name) {
                relax(def);
            }
        }
    }
    schema["title"] = json!("neuroca-deploy environment");
    schema["description"] =
        json!("One environment of a project, or a part of it that others extend.");
    schema["properties"]["extends"] = json!({
        "description": "File that comes before this one, relative to it: maps are merged, lists and values replaced.",
        "type": "string",
        "examples": ["base.yaml"],
    });
    schema
}

/// Names of the definitions that stand in lists: they are given as a whole.
fn inside_lists(schema: &Value) -> Vec<String> {
    let mut names = Vec::new();
    each(schema, &mut |value| {
        let reference = value["items"]["$ref"].as_str();
        names.extend(reference.and_then(|r| r.strip_prefix("#/$defs/")).map(String::from));
    });
    names
}

fn relax(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    map.remove("required");
    let open = |values: &mut Value| {
        if values.is_object() {
            *values = json!({ "anyOf": [values.take(), { "type": "null" }] });
        }
    };
    if let Some(values) = map.get_mut("additionalProperties") {
        open(values);
    }
    for property in map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some(values) = property.1.get_mut("additionalProperties") {
            open(values);
        }
    }
}

fn each(value: &Value, visit: &mut dyn FnMut(&Value)) {
    visit(value);
    match value {
        Value::Object(map) => map.values().for_each(|v| each(v, visit)),
        Value::Array(items) => items.iter().for_each(|v| each(v, visit)),
        _ => {}
    }
}
