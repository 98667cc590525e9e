//! What happened to requests in one interval, by component and side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::RevisionId;

/// The counts of one interval alone; final, and each interval is given once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// When the interval ended; milliseconds since the Unix epoch (or, replayed, since the start).
    pub end_ms: u64,
    pub components: BTreeMap<String, Sides>,
}

/// One component's counts. A component without an old revision has an empty stable side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sides {
    pub canary: Counts,
    pub stable: Counts,
}

/// One side's counts. A unit is a request, or a client where clients stick to a side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Units whose outcome is known.
    pub requests: u64,
    /// Those among them that failed: 5xx, no connection, reset, edge time-out; not 4xx, not a
    /// client that went away.
    pub errors: u64,
    /// By latency bound, rising. Bounds that say nothing (none slower, or all) may be left out on
    /// neither side or on both, never on one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<Slower>,
    /// Further proportions, by the name that the environment file gives them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ratios: BTreeMap<String, Ratio>,
}

/// How many units took longer than a bound. Serialised as `[bound_us, of, slower]`: a window is
/// journaled with some eighty of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64)", into = "(u64, u64, u64)")]
pub struct Slower {
    /// Microseconds.
    pub bound_us: u64,
    /// Units for which it is known. Not [`Counts::requests`]: whether a request is slower than a
    /// bound is known once it is that old, ended or not.
    pub of: u64,
    pub slower: u64,
}

/// A proportion: `bad` of `of`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ratio {
    pub of: u64,
    pub bad: u64,
}

/// The two revisions of a component that are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    pub component: String,
    pub canary: RevisionId,
    pub stable: Option<RevisionId>,
}

impl From<(u64, u64, u64)> for Slower {
    fn from((bound_us, of, slower): (u64, u64, u64)) -> Self {
        Self { bound_us, of, slower }
    }
}

impl From<Slower> for (u64, u64, u64) {
    fn from(s: Slower) -> Self {
        (s.bound_us, s.of, s.slower)
    }
}
