//! One judge watches one stream of made-up traffic.

use neuroca_deploy_core::judge::{Analysis, Judge, Metric};
use neuroca_deploy_core::traffic::{LatencyLaw, Stream, Traffic};

/// What percent of the requests the canary gets, from when on.
pub type Weights = [(u64, u32)];

/// An alarm, and how long after the start it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub at_ms: u64,
    pub metric: Metric,
}

/// A judge of one component by a policy.
pub fn judge(analysis: &Analysis) -> Judge {
    Judge::new(analysis, ["api".to_string()])
}

/// Traffic whose latencies are those of an ordinary service: half of the answers within 50 ms, 99 %
/// within 160 ms.
pub fn ordinary(rps: f64, error_rate: f64) -> Traffic {
    let latency = Some(LatencyLaw { p50_ms: 50.0, sigma: 0.5 });
    Traffic { latency, ..Traffic::new(rps, error_rate) }
}

pub fn weight(weights: &Weights, at_ms: u64) -> f64 {
    let percent = weights.iter().rev().find(|(from, _)| *from <= at_ms).map_or(0, |(_, w)| *w);
    f64::from(percent) / 100.0
}

/// Looks after each window until there is an alarm or the time is over.
pub fn until_alarm(
    judge: &Judge,
    traffic: &Traffic,
    weights: &Weights,
    until_ms: u64,
    seed: u64,
) -> Option<Seen> {
    let mut judge = judge.clone();
    let mut stream = Stream::new(traffic, seed);
    let mut now_ms = 0;
    while now_ms < until_ms {
        let window = stream.window(weight(weights, now_ms));
        now_ms = window.end_ms;
        judge.take(&window);
        if let Some(alarm) = judge.alarm() {
            return Some(Seen { at_ms: now_ms, metric: alarm.metric.clone() });
        }
    }
    None
}
