//! Counters per revision, measured where the client is: at the edge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed},
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::slots::{self, SlotReport, Slots};
use crate::table::Table;

/// Upper bounds in seconds, log-spaced, four a factor of ten.
const BOUNDS: [f64; 21] = [
    0.0001, 0.000178, 0.000316, 0.000562, 0.001, 0.00178, 0.00316, 0.00562, 0.01, 0.0178, 0.0316,
    0.0562, 0.1, 0.178, 0.316, 0.562, 1.0, 1.78, 3.16, 5.62, 10.0,
];
const STATUS: [&str; 9] =
    ["1xx", "2xx", "3xx", "4xx", "5xx", "connect_error", "timeout", "aborted", "broken"];

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Status(u16),
    ConnectError,
    Timeout,
    /// The client went away before there was an answer.
    Aborted,
    /// The component broke off, before or in its answer.
    Broken,
}

/// Revisions that are not routed any more and are still shown, the latest ones.
const KEPT: usize = 256;

/// One revision's counters; touched by every request, hence atomics.
#[derive(Default)]
pub struct Counters {
    pub component: String,
    pub revision: String,
    pub in_flight: AtomicU64,
    pub streams: AtomicU64,
    /// The same requests as a judge counts them.
    pub slots: Slots,
    weight: AtomicU32,
    /// The last generation whose table names the revision.
    routed: AtomicU64,
    requests: AtomicU64,
    ended: [AtomicU64; STATUS.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
    /// How often streams were ended: a request belongs to the count at which it was picked.
    era: AtomicU64,
    era_changed: watch::Sender<()>,
}

impl Counters {
    /// A request ended that took so long, for a stream: until its head came.
    pub fn record(&self, ended: Ended, took: Duration) {
        let class = match ended {
            Ended::Status(status) => usize::from((status / 100).clamp(1, 5) - 1),
            Ended::ConnectError => 5,
            Ended::Timeout => 6,
            Ended::Aborted => 7,
            Ended::Broken => 8,
        };
        self.requests.fetch_add(1, Relaxed);
        self.ended[class].fetch_add(1, Relaxed);
        let seconds = took.as_secs_f64();
        self.buckets[BOUNDS.partition_point(|bound| *bound < seconds)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(took.as_micros() as u64, Relaxed);
    }

    /// What a request remembers from when it was picked, for [`Self::era_over`].
    pub fn era(&self) -> u64 {
        self.era.load(Relaxed)
    }

    /// Returns when streams are to end that were picked in `era`; at once if that was before the
    /// stream began.
    pub async fn era_over(self: Arc<Self>, era: u64) {
        let mut changed = self.era_changed.subscribe();
        while self.era() == era && changed.changed().await.is_ok() {}
    }
}

/// The counters of all revisions that are routed or were lately.
#[derive(Default)]
pub struct Metrics {
    revisions: Mutex<BTreeMap<String, Arc<Counters>>>,
    refused: Mutex<BTreeMap<u16, u64>>,
}

impl Metrics {
    /// A revision's counters. Looked up when a table is put, not per request.
    pub fn of(&self, revision: &str, component: &str) -> Arc<Counters> {
        let mut all = self.revisions.lock().expect("no panic while held");
        let fresh = || {
            let (component, revision) = (component.into(), revision.into());
            Arc::new(Counters { component, revision, ..Counters::default() })
        };
        all.entry(revision.into()).or_insert_with(fresh).clone()
    }

    /// Notes the weights of a new table, and forgets revisions that are long out of use.
    pub fn weights(&self, table: &Table) {
        let mut all = self.revisions.lock().expect("no panic while held");
        let before: Vec<u32> = all.values().map(|c| c.weight.swap(0, Relaxed)).collect();
        for backend in table.routes.iter().flat_map(|route| &route.backends) {
            if let Some(counters) = all.get(&backend.revision) {
                counters.weight.fetch_max(backend.weight, Relaxed);
                counters.routed.store(table.generation, Relaxed);
                counters.slots.open();
            }
        }
        let changed =
            all.values().zip(before).filter(|(c, before)| c.weight.load(Relaxed) != *before);
        let changed: BTreeSet<&str> = changed.map(|(c, _)| c.revision.as_str()).collect();
        for route in &table.routes {
            if route.backends.iter().any(|b| changed.contains(b.revision.as_str())) {
                let counters = route.backends.iter().filter_map(|b| all.get(&b.revision));
                counters.for_each(|counters| counters.slots.anew());
            }
        }
        let unused = all.values().filter(|c| c.routed.load(Relaxed) < table.generation);
        unused.for_each(|counters| counters.slots.close());
        let busy = |c: &Counters| c.in_flight.load(Acquire) + c.streams.load(Acquire) > 0;
        let routed = |c: &Counters| c.routed.load(Relaxed);
        let old = all.values().filter(|c| routed(c) < table.generation && !busy(c));
        let mut old: Vec<u64> = old.map(|c| routed(c)).collect();
        if old.len() > KEPT {
            let excess = old.len() - KEPT;
            let (_, &mut last, _) = old.select_nth_unstable(excess - 1);
            all.retain(|_, c| routed(c) > last || busy(c));
        }
    }

    /// Ends the streams of a revision.
    pub fn end_streams(&self, revision: &str) {
        let all = self.revisions.lock().expect("no panic while held");
        if let Some(counters) = all.get(revision) {
            counters.era.fetch_add(1, Relaxed);
            counters.era_changed.send_replace(());
        }
    }

    /// The edge answered by itself: no route, no revision that is ready, a body that is too large.
    pub fn refused(&self, status: u16) {
        *self.refused.lock().expect("no panic while held").entry(status).or_default() += 1;
    }

    /// By status, what the edge answered by itself.
    pub fn refusals(&self) -> BTreeMap<u16, u64> {
        self.refused.lock().expect("no panic while held").clone()
    }

    /// What a judge is told, from slot `since` on.
    pub fn slots(&self, since: u64) -> SlotReport {
        let all: Vec<_> =
            self.revisions.lock().expect("no panic while held").values().cloned().collect();
        let now_ms = slots::now_ms();
        let revisions = all
            .iter()
            .map(|c| (c.revision.clone(), c.slots.read(since)))
            .filter(|(_, slots)| !slots.is_empty());
        SlotReport {
            now_ms,
            slot_ms: slots::SLOT_MS,
            settle_ms: slots::SETTLE_MS,
            oldest: (now_ms / slots::SLOT_MS).saturating_sub(slots::KEPT - 1),
            bounds_us: slots::BOUNDS_US.to_vec(),
            revisions: revisions.collect(),
        }
    }

    /// A copy of everything, by revision.
    pub fn snapshot(&self) -> BTreeMap<String, RevisionStatus> {
        let all = self.revisions.lock().expect("no panic while held");
        all.iter().map(|(name, c)| (name.clone(), c.snapshot())).collect()
    }
}

impl Counters {
    fn snapshot(&self) -> RevisionStatus {
        // In this order: a request that becomes a stream is in one of the two, and one that is in
        // neither is among those that ended.
        let in_flight = self.in_flight.load(Acquire);
        let streams = self.streams.load(Acquire);
        let mut cumulative = 0;
        let latency_buckets = BOUNDS
            .iter()
            .zip(&self.buckets)
            .map(|(bound, n)| {
                cumulative += n.load(Relaxed);
                (*bound, cumulative)
            })
            .collect();
        RevisionStatus {
            component: self.component.clone(),
            weight: self.weight.load(Relaxed),
            requests: self.requests.load(Relaxed),
            in_flight,
            streams,
            status: STATUS
                .iter()
                .zip(&self.ended)
                .map(|(name, n)| (name.to_string(), n.load(Relaxed)))
                .filter(|(_, n)| *n > 0)
                .collect(),
            latency_buckets,
            latency_count: cumulative + self.buckets[BOUNDS.len()].load(Relaxed),
            latency_sum: self.sum_us.load(Relaxed) as f64 / 1e6,
        }
    }
}

/// The edge as seen from its control socket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub generation: u64,
    pub pid: u32,
    pub draining: bool,
    pub revisions: BTreeMap<String, RevisionStatus>,
}

/// One revision's counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RevisionStatus {
    pub component: String,
    /// In the table in force; 0 when it is not named there.
    pub weight: u32,
    pub requests: u64,
    pub in_flight: u64,
    pub streams: u64,
    pub status: BTreeMap<String, u64>,
    /// Upper bound in seconds, requests at most as long.
    pub latency_buckets: Vec<(f64, u64)>,
    pub latency_count: u64,
    pub latency_sum: f64,
}
