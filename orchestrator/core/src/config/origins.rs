//! Where each value of an environment came from.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use super::errors::Place;
use super::model::Environment;
use super::typed::{Typed, Value};

/// Dotted path to the place where the value was written; lists are one value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    written: BTreeMap<String, Place>,
    defaults: Vec<String>,
}

impl Origins {
    pub(super) fn new(whole: &Typed, environment: &Environment) -> Self {
        let mut written = BTreeMap::new();
        collect(whole, "", &mut written);
        let defaults = leaves(environment)
            .into_iter()
            .map(|(path, _)| path)
            .filter(|p| !written.contains_key(p));
        Self { defaults: defaults.collect(), written }
    }

    /// Where the value at `path` was written, with line and column.
    pub fn place(&self, path: &str) -> Option<&Place> {
        self.written.get(path)
    }

    /// The same for people: `environments/production.yaml:12`, `--set`, `variable NAME`, `default`;
    /// `None` for a path that the environment does not have.
    pub fn get(&self, path: &str) -> Option<String> {
        match self.written.get(path) {
            Some(place) => Some(place.origin()),
            None => {
                let known = self.defaults.binary_search_by(|p| p.as_str().cmp(path)).is_ok();
                known.then(|| "default".into())
            }
        }
    }

    /// Every setting of `environment` with its value and origin, sorted by path.
    pub(super) fn explain(&self, environment: &Environment) -> Vec<Explained> {
        let origin = |path: &str| self.get(path).unwrap_or_else(|| "default".into());
        leaves(environment)
            .into_iter()
            .map(|(path, value)| Explained { origin: origin(&path), path, value })
            .collect()
    }
}

/// One line of `config --explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    pub path: String,
    pub value: String,
    pub origin: String,
}

fn collect(at: &Typed, path: &str, written: &mut BTreeMap<String, Place>) {
    if !path.is_empty() {
        written.insert(path.to_string(), at.named().clone());
    }
    if let Value::Map { entries, .. } = &at.value {
        for (name, entry) in entries {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            collect(entry, &path, written);
        }
    }
}

fn leaves(environment: &Environment) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let json = serde_json::to_value(environment).unwrap_or_default();
    walk(&json, "", &mut found);
    found.sort();
    found
}

fn walk(value: &Json, path: &str, found: &mut Vec<(String, String)>) {
    let text = match value {
        Json::Object(map) => {
            for (name, value) in map {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(value, &path, found);
            }
            return;
        }
        Json::Null => "(not set)".to_string(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    found.push((path.to_string(), text));
}
