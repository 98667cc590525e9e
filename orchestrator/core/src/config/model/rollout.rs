//! How a new release takes over: the strategy and the steps of a canary. How a step is judged stands
//! in [`Analysis`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::units::Millis;
use super::edge::{HeaderRoute, Side};
use super::{is_default, yes};
use crate::judge::Analysis;

/// How a new release takes over, and when it is turned back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RolloutPolicy {
    /// `blue_green` starts the new before it touches the old; `canary` gives it a part of the
    /// traffic and judges it, step by step; `recreate` stops the old first.
    pub strategy: Strategy,
    /// The steps of a canary, in the order of their weights; 5, 25 and 50 percent for a minute each
    /// when nothing is said. All of the traffic is the last step, written or not.
    pub steps: Vec<Step>,
    /// How a canary is judged.
    pub analysis: Analysis,
    /// How long health rules watch the new release with all of the traffic before it is kept.
    pub watch: Millis,
    /// Most time that a whole rollout may take, time spent paused not counted. A release that is
    /// not up by then is turned back; one that is up and not yet judged is inconclusive.
    pub deadline: Millis,
    /// How long the old release stays warm for an instant `rollback`.
    pub rollback_window: Millis,
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::BlueGreen,
            steps: Vec::new(),
            analysis: Analysis::default(),
            watch: Millis(5_000),
            deadline: Millis(1_800_000),
            rollback_window: Millis(3_600_000),
        }
    }
}

/// One step of a canary: what the new release gets, and what has to be so before the next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Percent of the requests that the new release answers; with 0 only those which the preview
    /// header or a header route of this step sends there.
    pub weight: u8,
    /// Least time at this step.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pause: Millis,
    /// Waits until an operator says `rollout promote`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gate: bool,
    /// Whether the judge has to accept the release before the next step.
    #[serde(default = "yes")]
    pub analysis: bool,
    /// Percent of the requests that change nothing (GET, HEAD, OPTIONS) of which the new release gets
    /// a copy; the answers are thrown away.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mirror: u8,
    /// Requests that carry a header value go to one side, whatever the weight (A/B).
    #[serde(default, skip_serializing_if = "is_default")]
    pub header_routes: Vec<HeaderRoute>,
}

impl Step {
    /// A step that only sets a weight.
    pub fn weight(weight: u8) -> Self {
        Self {
            weight,
            pause: Millis(0),
            gate: false,
            analysis: false,
            mirror: 0,
            header_routes: Vec::new(),
        }
    }

    /// Whether requests reach the new release by their headers, whatever its weight.
    pub fn sends_by_header(&self) -> bool {
        self.header_routes.iter().any(|route| route.to == Side::Canary)
    }
}

/// The closed set of strategies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// New beside old, then all traffic at once, then the old is drained.
    #[default]
    BlueGreen,
    /// New beside old, with a growing share of the traffic, judged at each step.
    Canary,
    /// Old is stopped before new is started: traffic is refused in between.
    Recreate,
}
