//! The edges that live: one that serves and, for a while after a change, those that drain.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use neuroca_deploy_edge::{Control, EdgeError, Status};

use crate::layout::StateDir;

/// How long an edge may take to answer.
const ANSWERS: Duration = Duration::from_secs(3);

pub(crate) struct Edges {
    state: StateDir,
    counted: Mutex<Counted>,
}

/// Counters of edges that are gone, so that a revision's numbers never fall.
#[derive(Default)]
struct Counted {
    last: BTreeMap<u64, Status>,
    past: BTreeMap<String, (u64, u64)>,
}

/// An edge and what it said.
pub(crate) struct Edge {
    pub control: Control,
    pub status: Status,
}

/// One revision's numbers over all edges.
#[derive(Default, Clone, Copy)]
pub(crate) struct Numbers {
    pub requests: u64,
    pub errors: u64,
    pub in_flight: u64,
    pub streams: u64,
}

impl Edges {
    pub fn new(state: &StateDir) -> Self {
        Self { state: state.clone(), counted: Mutex::default() }
    }

    /// Those that answer, the one started last at the end.
    pub async fn living(&self) -> Vec<Edge> {
        let mut found = BTreeMap::new();
        for number in self.state.edge_numbers() {
            let control = Control::new(self.state.edge_socket(number));
            if let Ok(Ok(status)) = tokio::time::timeout(ANSWERS, control.status()).await {
                found.insert(number, Edge { control, status });
            }
        }
        let mut counted = self.counted.lock().unwrap_or_else(|p| p.into_inner());
        let gone: Vec<u64> =
            counted.last.keys().copied().filter(|n| !found.contains_key(n)).collect();
        for number in gone {
            let status = counted.last.remove(&number).unwrap_or_default();
            for (revision, seen) in status.revisions {
                let past = counted.past.entry(revision).or_default();
                past.0 += seen.requests;
                past.1 += errors(&seen.status);
            }
        }
        counted.last.extend(found.iter().map(|(n, edge)| (*n, edge.status.clone())));
        found.into_values().collect()
    }

    /// A revision's numbers as `edges` and their predecessors counted them.
    pub fn numbers(&self, edges: &[Edge], revision: &str) -> Numbers {
        let counted = self.counted.lock().unwrap_or_else(|p| p.into_inner());
        let (requests, failed) = counted.past.get(revision).copied().unwrap_or_default();
        let start = Numbers { requests, errors: failed, ..Numbers::default() };
        edges.iter().filter_map(|e| e.status.revisions.get(revision)).fold(start, |sum, seen| {
            Numbers {
                requests: sum.requests + seen.requests,
                errors: sum.errors + errors(&seen.status),
                in_flight: sum.in_flight + seen.in_flight,
                streams: sum.streams + seen.streams,
            }
        })
    }
}

impl Edge {
    /// Puts the table into force there.
    pub async fn put(&self, table: &neuroca_deploy_edge::Table) -> Result<u64, EdgeError> {
        match tokio::time::timeout(ANSWERS, self.control.put_table(table)).await {
            Ok(result) => result,
            Err(_) => Err(EdgeError::Refused("no answer in time".into())),
        }
    }
}

fn errors(by_status: &BTreeMap<String, u64>) -> u64 {
    ["5xx", "connect_error", "broken", "timeout"]
        .iter()
        .filter_map(|class| by_status.get(*class))
        .sum()
}
