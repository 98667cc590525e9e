//! A target as seen at one moment, in plain values. How it was seen is the adapters' business.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::effect::Traffic;
use crate::id::RevisionId;
use crate::manifests::Id;

/// A target as seen at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Grows with every change, so that a watcher can wait for the next one.
    pub version: u64,
    pub revisions: BTreeMap<RevisionId, RevisionObserved>,
    /// The split as the router itself reports it.
    pub traffic: Option<Traffic>,
    /// Workloads of the user's own that a rollout waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadObserved>,
}

/// A workload of the user's own as seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadObserved {
    pub id: Id,
    /// Pods that are wanted, and of its present form that are ready (of a job: that have succeeded).
    pub wanted: u32,
    pub ready: u32,
    /// It is all there, as it was asked for last.
    pub is_ready: bool,
    /// It will not be, however long anybody waits.
    pub is_hopeless: bool,
    /// Why it is not ready.
    pub trouble: Option<Trouble>,
}

/// One revision as seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RevisionObserved {
    pub component: String,
    /// Replicas that are wanted, alive, and ready.
    pub wanted: u32,
    pub alive: u32,
    pub ready: u32,
    /// Ends that nobody asked for, within the crash-loop window.
    pub crashes: u32,
    pub crash_loop: bool,
    /// Why it is not ready.
    pub trouble: Option<Trouble>,
    /// Requests and streams at the router that have not ended.
    pub in_flight: u64,
    pub streams: u64,
    /// Requests and server errors counted at the router since the revision was first routed.
    pub requests: u64,
    pub errors: u64,
    /// Kept without traffic until then (milliseconds since the Unix epoch).
    pub warm_until_ms: Option<u64>,
}

impl RevisionObserved {
    /// All replicas that are wanted are ready, and there is at least one.
    pub fn is_ready(&self) -> bool {
        self.wanted > 0 && self.ready >= self.wanted
    }
}

/// Evidence of a failing process: the last probe's answer, its last lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// One line: "exited with status 3", "GET /health/ready: 404 Not Found".
    pub what: String,
    /// Body of the last probe's answer, cut short.
    pub body: Option<String>,
    /// The last 20 lines of the log.
    pub log_lines: Vec<String>,
}
