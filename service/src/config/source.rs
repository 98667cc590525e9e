//! Takes values out of a set of variables and collects what is wrong with them.
//!
//! Knows which names exist, not what they mean. Never quotes a value, since any of them may be
//! secret; the path of a `_FILE` is none.

use std::collections::BTreeMap;

use super::{ConfigError, Secret, names};

pub(super) struct Source {
    values: BTreeMap<&'static str, String>,
    plain: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Source {
    pub(super) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut all: Vec<_> = variables.into_iter().collect();
        all.sort();
        let mut source =
            Self { values: BTreeMap::new(), plain: BTreeMap::new(), problems: Vec::new() };
        for (variable, value) in all {
            if variable.starts_with("NEUROCA_") {
                source.add(&variable, value);
            } else if ["PORT", "HOST"].contains(&variable.as_str()) || variable.starts_with("OTEL_")
            {
                source.plain.insert(variable, value);
            }
        }
        source
    }

    fn add(&mut self, variable: &str, value: String) {
        let Some((name, is_file)) = names::parameter_of(variable) else {
            let hint = names::suggestion(variable)
                .map(|name| format!("; did you mean {name}?"))
                .unwrap_or_default();
            return self.problem(format!("{variable} is not a parameter of this service{hint}"));
        };
        let value = if is_file {
            match std::fs::read_to_string(&value) {
                Ok(text) => text.trim_end_matches(['\n', '\r']).to_owned(),
                Err(error) => {
                    return self.problem(format!("{variable}: cannot read {value}: {error}"));
                }
            }
        } else {
            value
        };
        if self.values.insert(name, value).is_some() {
            self.problem(format!("{name} and {name}_FILE are both set; keep one"));
        }
    }

    pub(super) fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    /// Whether `name` was given a value and nobody has taken it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_empty())
    }

    /// The value of `name`; an empty one counts as not set, since that is what an empty
    /// substitution in a manifest gives.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        debug_assert!(names::parameter_of(name).is_some(), "{name} is missing in NAMES");
        self.values.remove(name).filter(|value| !value.is_empty())
    }

    /// A secret that stands in a header.
    pub(super) fn secret(&mut self, name: &'static str) -> Option<Secret> {
        let secret = self.text(name);
        if secret.as_ref().is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            self.problem(format!("{name} holds something other than visible ASCII characters"));
        }
        secret.map(Secret)
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        default: T,
        choices: &[(&str, T)],
    ) -> T {
        let Some(value) = self.text(name) else { return default };
        match choices.iter().find(|(word, _)| *word == value) {
            Some((_, chosen)) => *chosen,
            None => {
                let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
                self.problem(format!("{name} is not one of {}", words.join(", ")));
                default
            }
        }
    }

    pub(super) fn number(&mut self, name: &'static str, default: u32, min: u32, max: u32) -> u32 {
        let Some(value) = self.text(name) else { return default };
        match value.parse() {
            Ok(number) if (min..=max).contains(&number) => number,
            _ => {
                self.problem(format!("{name} is not a whole number from {min} to {max}"));
                default
            }
        }
    }

    /// The value of a name that belongs to others, too.
    pub(super) fn open(&self, name: &str) -> Option<String> {
        self.plain.get(name).filter(|value| !value.is_empty()).cloned()
    }

    pub(super) fn plain<T: std::str::FromStr>(&mut self, name: &str, default: T, what: &str) -> T {
        match self.plain.get(name).map(|value| value.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => {
                self.problem(format!("{name} is not {what}"));
                default
            }
        }
    }

    pub(super) fn finish(self) -> Result<(), ConfigError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError(self.problems)) }
    }
}
