//! What a flag is, and a set of them: flagd's file as it is written, checked as it is taken.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::logic::{Evaluators, OPERATORS};

const LONGEST_KEY: usize = 256;
const MOST_VARIANTS: usize = 100;
const MOST_FLAGS: usize = 1000;
/// Bytes of a set: each replica keeps the sets that it is asked about.
const LARGEST: usize = 512 * 1024;

/// Whether a flag is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum FlagState {
    /// It is.
    Enabled,
    /// Whoever asks uses their own default.
    Disabled,
}

/// A flag, as flagd has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Flag", example = example())]
pub struct Definition {
    /// Whether it is looked at.
    pub state: FlagState,
    /// What it can be, by name; all of one kind: booleans, texts, numbers or objects.
    pub variants: BTreeMap<String, Value>,
    /// What it is where no rule says otherwise; left out, whoever asks uses their own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_variant: Option<String>,
    /// The rule (JsonLogic): what comes of it is the name of a variant, or null for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targeting: Option<Value>,
    /// What else is to be said about it: texts, numbers and booleans.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

fn example() -> Value {
    json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off",
        "targeting": { "fractional": [["on", 10], ["off", 90]] } })
}

/// All flags: flagd's file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Flags", example = json!({ "flags": { "new-search": example() } }))]
pub struct Document {
    /// Where the format is described; not looked at.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The flags by their keys.
    pub flags: BTreeMap<String, Definition>,
    /// Rules with a name, for several flags: `{"$ref": "name"}`.
    #[serde(rename = "$evaluators", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evaluators: Evaluators,
    /// What is to be said about each flag that does not say otherwise.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl Definition {
    /// Its rule, if it has one: an empty one is none.
    pub(super) fn rule(&self) -> Option<&Value> {
        self.targeting.as_ref().filter(|rule| !rule.as_object().is_some_and(Map::is_empty))
    }

    /// Whether its rule draws lots.
    pub fn splits(&self, document: &Document) -> bool {
        self.rule().is_some_and(|rule| uses(rule, "fractional", &document.evaluators))
    }

    fn check(&self, evaluators: &Evaluators) -> Result<(), String> {
        if self.variants.is_empty() || self.variants.len() > MOST_VARIANTS {
            return Err(format!("variants are not 1 to {MOST_VARIANTS}"));
        }
        let kinds = |value: &Value| match value {
            Value::Bool(_) => Some(0),
            Value::String(_) => Some(1),
            Value::Number(_) => Some(2),
            Value::Object(_) => Some(3),
            _ => None,
        };
        let mut all = self.variants.values().map(kinds);
        let first = all.next().flatten();
        if first.is_none() || all.any(|kind| kind != first) {
            return Err("variants are not all booleans, texts, numbers or objects".into());
        }
        if let Some(name) = &self.default_variant
            && !self.variants.contains_key(name)
        {
            return Err(format!("defaultVariant {name:?} is not one of the variants"));
        }
        check_metadata(&self.metadata)?;
        match &self.targeting {
            Some(rule) => check_rule(rule, Some(evaluators)),
            None => Ok(()),
        }
    }
}

impl Document {
    /// Whether all of it can be used; what is wrong with the first part that cannot.
    pub fn check(&self) -> Result<(), String> {
        if self.flags.len() > MOST_FLAGS {
            return Err(format!("there are more than {MOST_FLAGS} flags"));
        }
        if serde_json::to_vec(self).map_or(true, |bytes| bytes.len() > LARGEST) {
            return Err(format!("all flags together are more than {LARGEST} bytes"));
        }
        check_metadata(&self.metadata)?;
        for (name, rule) in &self.evaluators {
            check_rule(rule, None).map_err(|why| format!("evaluator {name:?}: {why}"))?;
        }
        for (key, flag) in &self.flags {
            check_key(key)?;
            flag.check(&self.evaluators).map_err(|why| format!("flag {key:?}: {why}"))?;
        }
        Ok(())
    }
}

/// Whether a flag can have this key.
pub fn check_key(key: &str) -> Result<(), String> {
    if (1..=LONGEST_KEY).contains(&key.chars().count()) && !key.contains('\0') {
        Ok(())
    } else {
        Err(format!("the key of a flag is not 1 to {LONGEST_KEY} characters without U+0000"))
    }
}

fn check_metadata(metadata: &Map<String, Value>) -> Result<(), String> {
    match metadata
        .iter()
        .find(|(_, value)| value.is_array() || value.is_object() || value.is_null())
    {
        None => Ok(()),
        Some((name, _)) => Err(format!("metadata {name:?} is not a text, a number or a boolean")),
    }
}

/// `evaluators` is `None` within one of them: one that names another could name itself.
fn check_rule(rule: &Value, evaluators: Option<&Evaluators>) -> Result<(), String> {
    match rule {
        Value::Array(items) => items.iter().try_for_each(|item| check_rule(item, evaluators)),
        Value::Object(fields) if fields.len() == 1 => {
            let (operator, operands) = fields.iter().next().ok_or("an empty rule")?;
            if !OPERATORS.contains(&operator.as_str()) {
                return Err(unknown(operator));
            }
            if operator == "$ref" {
                return check_reference(operands, evaluators);
            }
            check_rule(operands, evaluators)
        }
        _ => Ok(()),
    }
}

fn check_reference(name: &Value, evaluators: Option<&Evaluators>) -> Result<(), String> {
    let Some(evaluators) = evaluators else {
        return Err("an evaluator cannot name another by $ref".into());
    };
    match name.as_str() {
        Some(name) if evaluators.contains_key(name) => Ok(()),
        _ => Err(format!("$ref {name} is not one of $evaluators")),
    }
}

fn unknown(operator: &str) -> String {
    let near = OPERATORS
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(operator, known), known))
        // Of three letters, two others are no slip.
        .filter(|(distance, known)| distance * 3 <= known.len())
        .min();
    match near {
        Some((_, known)) => format!("there is no operator {operator:?}; did you mean {known:?}?"),
        None => {
            format!("there is no operator {operator:?}; there are {}", OPERATORS.join(" "))
        }
    }
}

fn uses(rule: &Value, wanted: &str, evaluators: &Evaluators) -> bool {
    match rule {
        Value::Array(items) => items.iter().any(|item| uses(item, wanted, evaluators)),
        Value::Object(fields) => fields.iter().any(|(operator, operands)| {
            let named = || evaluators.get(operands.as_str()?);
            operator == wanted
                || uses(operands, wanted, evaluators)
                || (operator == "$ref"
                    && named().is_some_and(|rule| uses(rule, wanted, evaluators)))
        }),
        _ => false,
    }
}
