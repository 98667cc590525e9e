//! Feature flags in flagd's format, evaluated as flagd evaluates them.
//!
//! To evaluate is values in, values out, with no clock; what a process knows of the flags of its tenants is
//! in `known`, which alone asks the database. Knows no HTTP. The operators are those that
//! flagd documents for targeting, with the meaning that they have in flagd (whose engine is written in
//! Go, and is not always of one mind with other JsonLogic libraries); a rule with another one is refused
//! when it is written, not when it is used.

mod compare;
mod definition;
mod experiment;
mod fractional;
mod known;
mod logic;
mod version;

use serde::Serialize;
use serde_json::{Map, Value, json};

pub use definition::{Definition, Document, FlagState, check_key};
pub use experiment::{Experiment, Experiments};
pub use known::{KnownFlags, Stored};

use crate::memory::Moment;
use logic::{Evaluators, Logic};

/// What a question is about: `targetingKey`, and whatever rules look at.
pub type Context = Map<String, Value>;

/// Why a flag has its value, in OpenFeature's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// There is no rule.
    Static,
    /// The rule chose it.
    TargetingMatch,
    /// The rule chose nothing.
    Default,
    /// The flag is switched off.
    Disabled,
}

/// Why a flag has no value, in OpenFeature's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// There is no such flag.
    FlagNotFound,
    /// The request, or the rule, cannot be understood.
    ParseError,
    /// The context is not an object.
    InvalidContext,
    /// The rule chose something that is no variant.
    General,
}

/// What comes of a flag.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The variant's name and value; none: whoever asks uses their own default.
    pub variant: Option<(String, Value)>,
    /// Why.
    pub reason: Reason,
    /// What the flag and its set say about themselves.
    pub metadata: Map<String, Value>,
}

/// The flags of a tenant, and what is being tried with them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlagSet {
    /// The flags.
    pub document: Document,
    /// By their keys.
    pub experiments: Experiments,
}

impl FlagSet {
    /// What `key` is for `context` at `now`.
    pub fn evaluate(
        &self,
        key: &str,
        context: &Context,
        now: Moment,
    ) -> Result<Evaluation, ErrorCode> {
        let flag = self.document.flags.get(key).ok_or(ErrorCode::FlagNotFound)?;
        let mut metadata = self.document.metadata.clone();
        metadata.extend(flag.metadata.clone());
        let (variant, reason) = if flag.state == FlagState::Disabled {
            (None, Reason::Disabled)
        } else {
            chosen(flag, key, &self.document.evaluators, context, now)?
        };
        let variant = variant.and_then(|name| {
            let value = flag.variants.get(&name)?.clone();
            Some((name, value))
        });
        Ok(Evaluation { variant, reason, metadata })
    }

    /// Whether all of it can be used together; what is wrong if not.
    pub fn check(&self) -> Result<(), String> {
        self.document.check()?;
        experiment::check(&self.experiments, &self.document)
    }

    /// The experiment that is running with `flag`.
    pub fn running(&self, flag: &str) -> Option<&str> {
        let mut running = self.experiments.iter().filter(|(_, one)| one.running);
        running.find(|(_, one)| one.flag == flag).map(|(key, _)| key.as_str())
    }
}

/// The name of the variant.
fn chosen(
    flag: &Definition,
    key: &str,
    evaluators: &Evaluators,
    context: &Context,
    now: Moment,
) -> Result<(Option<String>, Reason), ErrorCode> {
    let default = flag.default_variant.clone();
    let Some(rule) = flag.rule() else {
        let reason = if default.is_some() { Reason::Static } else { Reason::Default };
        return Ok((default, reason));
    };
    let mut context = context.clone();
    context.insert("$flagd".into(), json!({ "flagKey": key, "timestamp": now.0 / 1000 }));
    let chosen = Logic::new(evaluators, Value::Object(context))
        .value(rule)
        .map_err(|_| ErrorCode::ParseError)?;
    if chosen.is_null() {
        return Ok((default, Reason::Default));
    }
    let name = compare::variant_name(&chosen).ok_or(ErrorCode::General)?;
    if flag.variants.contains_key(&name) {
        Ok((Some(name), Reason::TargetingMatch))
    } else {
        Err(ErrorCode::General)
    }
}

#[cfg(test)]
mod tests;
