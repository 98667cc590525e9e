//! Counters per revision, measured where the client is: at the edge.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper bounds in seconds, log-spaced, four a factor of ten.
const BOUNDS: [f64; 21] = [
    0.0001, 0.000178, 0.000316, 0.000562, 0.001, 0.00178, 0.00316, 0.00562, 0.01, 0.0178, 0.0316,
    0.0562, 0.1, 0.178, 0.316, 0.562, 1.0, 1.78, 3.16, 5.62, 10.0,
];
const STATUS: [&str; 8] =
    ["1xx", "2xx", "3xx", "4xx", "5xx", "connect_error", "timeout", "aborted"];

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Status(u16),
    ConnectError,
    Timeout,
    /// The component broke off its answer, or the client went away before it.
    Aborted,
}

/// One revision's counters; touched by every request, hence atomics.
#[derive(Default)]
pub struct Counters {
    pub component: String,
    pub in_flight: AtomicU64,
    pub streams: AtomicU64,
    requests: AtomicU64,
    ended: [AtomicU64; STATUS.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
    /// Streams of an older count are ended when this grows.
    pub end_streams: tokio::sync::watch::Sender<u64>,
}

impl Counters {
    pub fn record(&self, ended: Ended, took: Duration) {
        let class = match ended {
            Ended::Status(status) => usize::from((status / 100).clamp(1, 5) - 1),
            Ended::ConnectError => 5,
            Ended::Timeout => 6,
            Ended::Aborted => 7,
        };
        self.requests.fetch_add(1, Relaxed);
        self.ended[class].fetch_add(1, Relaxed);
        let seconds = took.as_secs_f64();
        self.buckets[BOUNDS.partition_point(|bound| *bound < seconds)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(took.as_micros() as u64, Relaxed);
    }
}

/// The counters of all revisions that were ever routed.
#[derive(Default, Clone)]
pub struct Metrics(Arc<Mutex<BTreeMap<String, Arc<Counters>>>>);

impl Metrics {
    /// A revision's counters. Looked up when a table is put, not per request.
    pub fn of(&self, revision: &str, component: &str) -> Arc<Counters> {
        let mut all = self.0.lock().expect("no panic while held");
        let fresh = || Arc::new(Counters { component: component.into(), ..Counters::default() });
        all.entry(revision.into()).or_insert_with(fresh).clone()
    }

    /// Ends the streams of a revision.
    pub fn end_streams(&self, revision: &str) {
        let all = self.0.lock().expect("no panic while held");
        if let Some(counters) = all.get(revision) {
            counters.end_streams.send_modify(|n| *n += 1);
        }
    }

    /// A copy of everything, by revision.
    pub fn snapshot(&self) -> BTreeMap<String, RevisionStatus> {
        let all = self.0.lock().expect("no panic while held");
        all.iter().map(|(name, c)| (name.clone(), c.snapshot())).collect()
    }

    /// Prometheus text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let all = self.snapshot();
        let mut block =
            |name: &str, kind: &str, lines: &mut dyn FnMut(&mut String, &str, &RevisionStatus)| {
                let _ = writeln!(out, "# TYPE edge_{name} {kind}");
                for (revision, status) in &all {
                    lines(&mut out, revision, status);
                }
            };
        block("requests_total", "counter", &mut |out, revision, s| {
            for (class, n) in &s.status {
                let c = &s.component;
                let _ = writeln!(
                    out,
                    "edge_requests_total{{component=\"{c}\",revision=\"{revision}\",status=\"{class}\"}} {n}"
                );
            }
        });
        block("in_flight", "gauge", &mut |out, revision, s| {
            let _ = writeln!(
                out,
                "edge_in_flight{{component=\"{}\",revision=\"{revision}\"}} {}",
                s.component, s.in_flight
            );
        });
        block("streams", "gauge", &mut |out, revision, s| {
            let _ = writeln!(
                out,
                "edge_streams{{component=\"{}\",revision=\"{revision}\"}} {}",
                s.component, s.streams
            );
        });
        block("request_duration_seconds", "histogram", &mut |out, revision, s| {
            let labels = format!("component=\"{}\",revision=\"{revision}\"", s.component);
            for (bound, n) in &s.latency_buckets {
                let _ = writeln!(
                    out,
                    "edge_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {n}"
                );
            }
            let _ = writeln!(
                out,
                "edge_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {}",
                s.latency_count
            );
            let _ =
                writeln!(out, "edge_request_duration_seconds_sum{{{labels}}} {}", s.latency_sum);
            let _ = writeln!(
                out,
                "edge_request_duration_seconds_count{{{labels}}} {}",
                s.latency_count
            );
        });
        out
    }
}

impl Counters {
    fn snapshot(&self) -> RevisionStatus {
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
            requests: self.requests.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            streams: self.streams.load(Relaxed),
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
    pub requests: u64,
    pub in_flight: u64,
    pub streams: u64,
    pub status: BTreeMap<String, u64>,
    /// Upper bound in seconds, requests at most as long.
    pub latency_buckets: Vec<(f64, u64)>,
    pub latency_count: u64,
    pub latency_sum: f64,
}
