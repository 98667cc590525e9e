//! Which samples are meant: a name and matchers, as PromQL writes them, and nothing else of PromQL.

use std::fmt;

use regex::Regex;

use super::exposition::{Sample, quoted};

/// `http_requests_total{route!~"/health.*",status=~"5.."}`.
#[derive(Debug, Clone)]
pub struct Selector {
    text: String,
    name: String,
    matchers: Vec<Matcher>,
}

#[derive(Debug, Clone)]
struct Matcher {
    label: String,
    /// Whether what matches is meant, or what does not.
    wanted: bool,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Text(String),
    /// Of the whole value.
    Pattern(Regex),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Selector {
    /// `Err` says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, inside) = match text.split_once('{') {
            Some((name, rest)) => {
                let inside = rest.strip_suffix('}').ok_or("it does not end with `}`")?;
                (name.trim(), inside)
            }
            None => (text, ""),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(format!(
                "`{name}` is no name of a counter; functions and operators of PromQL mean nothing here"
            ));
        }
        Ok(Self { text: text.into(), name: name.into(), matchers: matchers(inside)? })
    }

    pub fn selects(&self, sample: &Sample) -> bool {
        sample.name == self.name && self.matchers.iter().all(|matcher| matcher.holds(sample))
    }
}

impl Matcher {
    /// A label that is not there is the empty one, as everywhere with Prometheus.
    fn holds(&self, sample: &Sample) -> bool {
        let found = sample.labels.get(&self.label).map_or("", String::as_str);
        let matches = match &self.value {
            Value::Text(text) => found == text,
            Value::Pattern(pattern) => pattern.is_match(found),
        };
        matches == self.wanted
    }
}

fn matchers(mut rest: &str) -> Result<Vec<Matcher>, String> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim();
        if rest.is_empty() {
            return Ok(found);
        }
        let end = rest.find(['=', '!']).ok_or_else(|| format!("`{rest}` is no matcher"))?;
        let (label, after) = rest.split_at(end);
        let operators =
            [("=~", true, true), ("!~", false, true), ("!=", false, false), ("=", true, false)];
        let (after, wanted, is_pattern) = operators
            .into_iter()
            .find_map(|(word, wanted, pattern)| Some((after.strip_prefix(word)?, wanted, pattern)))
            .ok_or_else(|| format!("`{rest}` is no matcher: =, !=, =~ and !~ are"))?;
        let (value, after) = quoted(after.trim_start())
            .ok_or_else(|| format!("the value for `{}` is not in quotes", label.trim()))?;
        let value = match is_pattern {
            true => Value::Pattern(pattern(&value)?),
            false => Value::Text(value),
        };
        found.push(Matcher { label: label.trim().into(), wanted, value });
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) => more,
            None if after.is_empty() => after,
            None => return Err(format!("`{after}` follows where a comma has to")),
        };
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?s:{text})$"))
        .map_err(|e| format!("`{text}` is no regular expression: {e}"))
}
