//! Made-up traffic: what a canary and its stable side would count, window by window, from a seed.
//!
//! It is what a policy is tried out on before real requests are at stake. It knows the judge's input and nothing
//! of the judge.

mod clients;
mod pods;
mod stream;

pub use stream::{Sent, Stream, slot_ms};

/// Requests as they come in, and how both sides answer them.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Name of the component that answers.
    pub component: String,
    /// Requests a second, both sides together; arrivals are independent of each other.
    pub rps: f64,
    /// Length of a window in milliseconds.
    pub interval_ms: u64,
    /// Share of requests that fail, from 0 to 1.
    pub error_rate: f64,
    /// How long answers take; without it no latency is counted.
    pub latency: Option<LatencyLaw>,
    /// Pods of each side: every one has an equal part of its side's requests.
    pub canary_pods: u32,
    pub stable_pods: u32,
    /// How much pods differ: the standard deviation of the log-odds of an error, and of the log of
    /// the latency.
    pub pod_error_sigma: f64,
    pub pod_latency_sigma: f64,
    /// What is wrong with the canary.
    pub fault: Option<Fault>,
    /// What hits both sides.
    pub incidents: Vec<Incident>,
    /// Clients that stay on one side; without them each request goes where it happens to go. With
    /// them only errors are counted, no latency.
    pub clients: Option<Clients>,
}

/// Latencies are log-normal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyLaw {
    pub p50_ms: f64,
    /// Standard deviation of the logarithm: at 0.5 the 99th percentile is 3.2 times the median.
    pub sigma: f64,
}

/// What is wrong with the canary, and since when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    pub onset_ms: u64,
    /// Its error rate from then on, if that changes.
    pub error_rate: Option<f64>,
    /// Its latency, as a multiple.
    pub slower: f64,
    /// It answers nothing any more.
    pub hangs: bool,
}

impl Fault {
    /// Nothing wrong yet: for `..Fault::at(onset_ms)`.
    pub fn at(onset_ms: u64) -> Self {
        Self { onset_ms, error_rate: None, slower: 1.0, hangs: false }
    }
}

/// A bad time that both sides share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Incident {
    pub from_ms: u64,
    pub until_ms: u64,
    /// Odds of an error and latency, as multiples.
    pub errors: f64,
    pub slower: f64,
}

/// Clients with a share of the requests that falls with their rank (Zipf), each on one side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clients {
    pub count: u32,
    /// The client of rank `k` sends in proportion to `k^-exponent`.
    pub exponent: f64,
    /// How much they differ: standard deviation of the log-odds of an error.
    pub error_sigma: f64,
    /// Whether clients are counted instead of requests: each until its first error, and by
    /// latency bound until it is first slower.
    pub as_units: bool,
}

impl Traffic {
    /// Healthy traffic without latencies, from equal pods: one on the canary's side, nine on the other.
    pub fn new(rps: f64, error_rate: f64) -> Self {
        Self {
            component: "api".into(),
            rps,
            interval_ms: 1_000,
            error_rate,
            latency: None,
            canary_pods: 1,
            stable_pods: 9,
            pod_error_sigma: 0.0,
            pod_latency_sigma: 0.0,
            fault: None,
            incidents: Vec::new(),
            clients: None,
        }
    }
}
