//! Slots as others see them: plain values that can be added up over several edges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an edge remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotReport {
    /// The edge's clock.
    pub now_ms: u64,
    pub slot_ms: u64,
    pub settle_ms: u64,
    /// Slots before this one are forgotten.
    pub oldest: u64,
    pub bounds_us: Vec<u64>,
    /// By revision and number of the slot: its beginning divided by `slot_ms`.
    pub revisions: BTreeMap<String, BTreeMap<u64, SlotCounts>>,
}

/// What became of the units that were sent in one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotCounts {
    /// Requests; or clients that had not failed before.
    pub sent: u64,
    /// Those whose outcome came in time.
    pub ended: u64,
    /// Those among them that failed.
    pub errors: u64,
    /// Those that the client gave up.
    pub aborted: u64,
    /// When the last of `ended` and `aborted` came, in milliseconds from the slot's beginning, if
    /// later than its end.
    pub last_end_ms: u64,
    /// Units whose latency is asked for.
    pub timed: u64,
    /// How many of `timed` were answered within the bound of that place and no earlier one.
    pub within: Vec<(usize, i64)>,
    /// Which of `timed` are none of a bound's units: given up within it, or a client that was
    /// slower than it before. By place, what is added from there on.
    pub out: Vec<(usize, i64)>,
}
