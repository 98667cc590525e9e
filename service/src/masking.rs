//! Takes out of a text what must not be kept: addresses, card and telephone numbers, patterns of the
//! operator's own. Before anything is written, so that no table, index or log ever has it.

use regex::{Captures, Regex};
use serde_json::Value;

use crate::memory::{Change, Draft, Metadata};

/// What is looked for.
#[derive(Debug, Clone)]
struct Rule {
    name: String,
    pattern: Regex,
    check: fn(&str) -> bool,
}

/// The rules in their order; none masks nothing.
#[derive(Debug, Clone, Default)]
pub struct Masking(Vec<Rule>);

impl PartialEq for Masking {
    fn eq(&self, other: &Self) -> bool {
        let told = |rule: &Rule| (rule.name.clone(), rule.pattern.as_str().to_owned());
        self.0.iter().map(told).eq(other.0.iter().map(told))
    }
}

impl Eq for Masking {}

const EMAIL: &str = r"(?i)\b[a-z0-9._%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}\b";
const CARD: &str = r"\b[0-9](?:[ -]?[0-9]){12,18}\b";
const PHONE: &str = r"(?:\+[0-9]{1,3}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?|\([0-9]{2,4}\)[ .-]?|\b0|\b)[0-9]{2,4}(?:[ .-][0-9]{2,4}){1,4}\b|\+[0-9]{8,15}\b";

impl Masking {
    /// Rules out of `kinds` (`email`, `card`, `phone`, separated by commas) and `patterns` (one
    /// `name=regular expression` a line).
    pub fn new(kinds: &str, patterns: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        for kind in kinds.split(',').map(str::trim).filter(|kind| !kind.is_empty()) {
            let (pattern, check): (&str, fn(&str) -> bool) = match kind {
                "email" => (EMAIL, |_| true),
                "card" => (CARD, is_card),
                "phone" => (PHONE, is_phone),
                _ => return Err(format!("{kind} is none of email, card, phone")),
            };
            rules.push(Self::rule(kind, pattern, check)?);
        }
        for line in patterns.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, pattern) =
                line.split_once('=').ok_or("a pattern is not name=regular expression")?;
            rules.push(Self::rule(name.trim(), pattern.trim(), |_| true)?);
        }
        Ok(Self(rules))
    }

    fn rule(name: &str, pattern: &str, check: fn(&str) -> bool) -> Result<Rule, String> {
        let pattern =
            Regex::new(pattern).map_err(|_| format!("{name} is not a regular expression"))?;
        Ok(Rule { name: name.to_owned(), pattern, check })
    }

    /// `text` with `[name]` in the place of what a rule finds.
    pub fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, rule| {
            let replaced = rule.pattern.replace_all(&text, |found: &Captures<'_>| {
                if (rule.check)(&found[0]) {
                    format!("[{}]", rule.name)
                } else {
                    found[0].to_owned()
                }
            });
            replaced.into_owned()
        })
    }

    fn metadata(&self, metadata: &mut Metadata) {
        metadata.values_mut().for_each(|value| self.value(value));
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => self.metadata(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Masks what a draft keeps. Not its subject, which is how the data is found and deleted.
    pub fn draft(&self, draft: &mut Draft) {
        if !self.0.is_empty() {
            draft.content = self.text(&draft.content);
            self.metadata(&mut draft.metadata);
        }
    }

    /// Masks what a change keeps.
    pub fn change(&self, change: &mut Change) {
        if self.0.is_empty() {
            return;
        }
        if let Some(content) = &mut change.content {
            *content = self.text(content);
        }
        if let Some(metadata) = &mut change.metadata {
            self.metadata(metadata);
        }
    }
}

fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|letter| letter.to_digit(10)).collect()
}

/// The checksum of card numbers (Luhn's): other long numbers stay.
fn is_card(text: &str) -> bool {
    let sum: u32 = digits(text)
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ if *digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Seven to fifteen digits; a date has eight and a year in front.
fn is_phone(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', '.', ' ']).collect();
    let is_date = parts.len() == 3
        && (parts[0].len() == 4 || parts[2].len() == 4)
        && parts.iter().all(|part| part.chars().all(|c| c.is_ascii_digit()))
        && digits(text).len() == 8;
    (7..=15).contains(&digits(text).len()) && !is_date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_kept_is_not() {
        let masking = Masking::new("email,card,phone", "badge=\\bB-[0-9]{4}\\b").expect("rules");
        for (text, expected) in [
            ("write to ann.b+x@mail.example.com now", "write to [email] now"),
            ("card 4111 1111 1111 1111, please", "card [card], please"),
            ("card 4111111111111111", "card [card]"),
            ("call +44 20 7946 0958 or (212) 555-0199", "call [phone] or [phone]"),
            ("my badge is B-1234", "my badge is [badge]"),
        ] {
            assert_eq!(masking.text(text), expected);
        }
        for kept in
            ["on 2026-01-31 at 12:30", "order 1234567890123", "version 1.2.3", "at 10 to 12"]
        {
            assert_eq!(masking.text(kept), kept);
        }
    }

    #[test]
    fn metadata_is_masked_at_any_depth() {
        let masking = Masking::new("email", "").expect("rules");
        let mut draft: Draft =
            serde_json::from_str(r#"{"content":"x","metadata":{"a":[{"b":"a@b.example"}],"n":1}}"#)
                .expect("a draft");
        masking.draft(&mut draft);
        let text = serde_json::to_string(&draft.metadata).expect("JSON");
        assert_eq!(text, r#"{"a":[{"b":"[email]"}],"n":1}"#);
    }

    #[test]
    fn a_rule_that_cannot_be_is_refused() {
        assert!(Masking::new("emial", "").is_err());
        assert!(Masking::new("", "x=(").is_err());
        assert!(Masking::new("", "x").is_err());
    }
}
