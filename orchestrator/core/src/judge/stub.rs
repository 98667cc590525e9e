//! PLACEHOLDER until policy.rs and the real Judge arrive (H3 deletes this file and its lines in judge.rs).
use super::Window;
use crate::config::units::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Placeholder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Analysis {
    /// Between two looks.
    pub interval: Millis,
    /// Longest time at one step without a verdict.
    pub decide_within: Millis,
    /// What then.
    pub on_inconclusive: OnInconclusive,
}
impl Default for Analysis {
    fn default() -> Self {
        Self { interval: Millis(2000), decide_within: Millis(900_000), on_inconclusive: OnInconclusive::Pause }
    }
}
/// Placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnInconclusive {
    /// Pause.
    Pause,
    /// Promote.
    Promote,
    /// Rollback.
    Rollback,
}
/// Placeholder.
#[derive(Debug, Clone, PartialEq)]
pub struct Judge;
/// Placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    Accepted,
    Missing(String),
}
impl Judge {
    pub fn new(_: &Analysis, _: impl IntoIterator<Item = String>) -> Self { Self }
    pub fn take(&mut self, _: &Window) {}
    pub fn alarm(&self) -> Option<String> { None }
    pub fn accepts(&self, _: u32) -> Acceptance { Acceptance::Missing("counts".into()) }
}
