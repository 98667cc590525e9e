//! What a process counts of its answers, told in Prometheus' text format. Probes are not among them.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;

/// The first bound in seconds; the others follow by [`STEP`].
const FIRST: f64 = 0.001;
const STEP: f64 = 1.25;
const BOUNDS: usize = 40;

/// Counters of one process.
#[derive(Debug)]
pub struct Counts {
    good: AtomicU64,
    bad: AtomicU64,
    /// By bound, each request once; what is slower than all of them is in none.
    buckets: [AtomicU64; BOUNDS],
}

impl Default for Counts {
    fn default() -> Self {
        let buckets = std::array::from_fn(|_| AtomicU64::new(0));
        Self { good: AtomicU64::new(0), bad: AtomicU64::new(0), buckets }
    }
}

impl Counts {
    pub fn answered(&self, status: StatusCode, took: Duration) {
        let counter = if status.is_server_error() { &self.bad } else { &self.good };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut bound = FIRST;
        for bucket in &self.buckets {
            if took.as_secs_f64() <= bound {
                bucket.fetch_add(1, Ordering::Relaxed);
                return;
            }
            bound *= STEP;
        }
    }

    /// All counters, their names beginning with `name`.
    pub fn told(&self, name: &str) -> String {
        let (good, bad) = (self.good.load(Ordering::Relaxed), self.bad.load(Ordering::Relaxed));
        let mut text = format!(
            "# TYPE {name}_requests_total counter\n\
             {name}_requests_total{{status=\"200\"}} {good}\n\
             {name}_requests_total{{status=\"500\"}} {bad}\n\
             # TYPE {name}_request_duration_seconds histogram\n"
        );
        let (mut bound, mut sum) = (FIRST, 0);
        for bucket in &self.buckets {
            sum += bucket.load(Ordering::Relaxed);
            let _ =
                writeln!(text, "{name}_request_duration_seconds_bucket{{le=\"{bound}\"}} {sum}");
            bound *= STEP;
        }
        let all = (good + bad).max(sum);
        let _ = writeln!(text, "{name}_request_duration_seconds_bucket{{le=\"+Inf\"}} {all}");
        text
    }
}
