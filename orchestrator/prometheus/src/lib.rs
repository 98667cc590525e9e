//! Counts of requests from a Prometheus server, for the judge.
//!
//! The queries come from the environment file and are of counters; what happened in an interval
//! is the difference of two samples. Knows PromQL's answers, not its grammar, and no rollout: what
//! it cannot read is an error that says what to do next, never a number.

mod answer;
mod counters;
mod grid;
mod http;
mod metrics;
mod template;
mod timeline;
mod trouble;
mod window;

pub use metrics::PrometheusMetrics;
