//! What the judge holds, for people and for JSON: counts, rates, evidence and its bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::verdict::{Metric, Verdict};
use super::window::Ratio;

/// A summary; the last word on each metric since the rollout began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub verdict: Verdict,
    /// Windows that were taken.
    pub windows: u64,
    /// Windows that were not: given twice, or older than one before.
    pub ignored: u64,
    /// Counts that cannot be and were left out, such as more errors than requests.
    pub refused: u64,
    /// The end of the last window.
    pub end_ms: Option<u64>,
    pub components: BTreeMap<String, ComponentEvidence>,
}

/// One component's part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentEvidence {
    /// There is no old release of it.
    pub alone: bool,
    pub canary: SideEvidence,
    pub stable: SideEvidence,
    pub metrics: Vec<MetricEvidence>,
}

/// One side's counts since the rollout began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SideEvidence {
    pub requests: u64,
    pub errors: u64,
    pub error_rate: Option<f64>,
    pub latency: Quantiles,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ratios: BTreeMap<String, Ratio>,
}

/// Latencies in microseconds; absent when no bound tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50_us: Option<u64>,
    pub p95_us: Option<u64>,
    pub p99_us: Option<u64>,
}

/// How far a metric has come in both directions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricEvidence {
    pub metric: Metric,
    /// Evidence that the new release is worse than tolerated; at the bound it is turned back.
    pub worse: f64,
    pub worse_bound: f64,
    /// Evidence that it did not get much worse; at the bound it may have all of the traffic. Absent
    /// where there is nothing to compare.
    pub better: Option<f64>,
    pub better_bound: f64,
}
