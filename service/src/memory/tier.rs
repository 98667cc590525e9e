//! The three tiers: how long a memory lives in each and how fast it fades.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const MINUTE: i64 = 60 * 1000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How long a memory lives and what happens when there are too many.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// What the agent has in mind: few, half an hour since it was last looked at.
    Working,
    /// What happened today: a thousand, a day.
    ShortTerm,
    /// What is known: kept until it is deleted.
    LongTerm,
}

impl Tier {
    /// All tiers.
    pub const ALL: [Tier; 3] = [Tier::Working, Tier::ShortTerm, Tier::LongTerm];

    /// The name in JSON, in SQL and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Working => "working",
            Tier::ShortTerm => "short_term",
            Tier::LongTerm => "long_term",
        }
    }

    /// The tier of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }

    /// Milliseconds from creation to expiry; `None` lives on.
    pub fn time_to_live(self) -> Option<i64> {
        match self {
            Tier::Working => Some(30 * MINUTE),
            Tier::ShortTerm => Some(DAY),
            Tier::LongTerm => None,
        }
    }

    /// Whether being looked at starts the time to live again.
    pub fn slides(self) -> bool {
        matches!(self, Tier::Working)
    }

    /// Milliseconds after which half of the strength is left.
    pub fn half_life(self, importance: f64) -> f64 {
        match self {
            Tier::Working | Tier::ShortTerm => (6 * HOUR) as f64,
            Tier::LongTerm => (90 * DAY) as f64 * (1.0 + importance),
        }
    }
}
