//! What a rollout policy would do with some traffic: many made-up rollouts through the production
//! machine and judge.
//!
//! A run is a pure function of the environment, the traffic, a seed and its number, so that the caller may
//! spread runs over threads. It knows no terminal.

mod advice;
mod arithmetic;
mod runs;
mod summary;
#[cfg(test)]
mod tests;
mod walk;

pub use advice::{number, plain, span, warnings};
pub use runs::{FaultSummary, Healthy, Preview};
pub use summary::{Quantiles, Share};
pub use walk::{End, Walk};

use std::fmt;

use serde::Serialize;

use crate::config::model::Environment;
use crate::rollout::Spec;
use crate::traffic::{Fault, LatencyLaw, Sent, Stream, Traffic, slot_ms};

/// Standard deviation of the logarithm of latencies: the 99th percentile is 3.2 times the median.
const LATENCY_SIGMA: f64 = 0.5;
/// How much pods of one release differ where they are said to: log-odds of errors, log of latency.
const POD_SIGMAS: (f64, f64) = (0.3, 0.05);

/// Requests of so long before the split are made up too.
const BEFORE_MS: u64 = 10_000;

/// What is known about the traffic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Given {
    /// Requests a second, both releases and all components that are judged together.
    pub rps: f64,
    /// Share of requests that fail while all is well.
    pub error_rate: f64,
    pub latency_p50_ms: f64,
    /// Pods of each release, which differ a little. Without it all are alike.
    pub pods: Option<u32>,
    pub seed: u64,
}

/// A release that is tried out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// As good as the old one.
    Healthy,
    /// It fails so many times as often.
    Errors(f64),
    /// It takes so many times as long.
    Latency(f64),
}

impl Scenario {
    /// All that a preview is about, the healthy one first.
    pub const ALL: [Scenario; 6] = [
        Scenario::Healthy,
        Scenario::Errors(2.0),
        Scenario::Errors(5.0),
        Scenario::Errors(10.0),
        Scenario::Latency(1.2),
        Scenario::Latency(2.0),
    ];
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("as good as before"),
            Self::Errors(times) => write!(f, "errors {times}x"),
            Self::Latency(times) => write!(f, "latency {times}x"),
        }
    }
}

/// Why there is nothing to try out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error(
        "the strategy is not `canary`, so all of the traffic moves at once and nothing is judged"
    )]
    NotCanary,
    #[error("no component listens, so there are no requests to judge")]
    NothingListens,
    #[error("no step is judged: all of them have `analysis: false` or no weight between 1 and 99")]
    NoJudge,
}

/// Rollouts that can be run.
#[derive(Debug, Clone)]
pub struct Trial {
    spec: Spec,
    given: Given,
}

impl Trial {
    pub fn new(environment: &Environment, given: Given) -> Result<Self, Unfit> {
        let spec = walk::spec(environment);
        if spec.compared().is_empty() {
            return Err(Unfit::NothingListens);
        }
        if environment.rollout.strategy != crate::config::model::Strategy::Canary {
            return Err(Unfit::NotCanary);
        }
        if !spec.has_judge() {
            return Err(Unfit::NoJudge);
        }
        Ok(Self { spec, given })
    }

    /// The runs of a scenario that fit into a second or two, by what one of them costs: windows, and
    /// longer sums where a window has very many requests.
    pub fn default_runs(&self) -> usize {
        let analysis = &self.spec.analysis;
        let pauses: u64 = self.spec.steps.iter().map(|step| step.pause.0).sum();
        let interval = self.interval_ms() as f64;
        let components = self.spec.compared().len() as f64;
        let windows = components * (pauses + analysis.decide_within.0) as f64 / interval;
        let requests = self.given.rps * interval / 1000.0 / components;
        let cost = windows * (1.0 + requests / 50_000.0);
        ((65_000.0 / cost.max(1.0)) as usize).clamp(20, 200)
    }

    /// Run `n` of a scenario. The same numbers give the same run.
    pub fn run(&self, scenario: Scenario, n: usize) -> Walk {
        let kind = Scenario::ALL.iter().position(|s| *s == scenario).unwrap_or_default();
        let seed = mix(self.given.seed ^ mix((kind as u64) << 32 | n as u64));
        let compared = self.spec.compared();
        let mut streams: Vec<Stream> = compared
            .iter()
            .enumerate()
            .map(|(index, compared)| {
                // One component is at fault, if any.
                let scenario = if index == 0 { scenario } else { Scenario::Healthy };
                let traffic = self.traffic(&compared.component, scenario);
                Stream::new(&traffic, mix(seed ^ index as u64))
            })
            .collect();
        // The split comes at any moment of a window; what was sent before becomes known after it.
        let interval_ms = self.interval_ms();
        let before_ms = BEFORE_MS.next_multiple_of(interval_ms);
        let split_ms = before_ms + mix(seed ^ compared.len() as u64) % interval_ms;
        walk::walk(&self.spec, split_ms, slot_ms(interval_ms), |weight| {
            let mut all = streams.iter_mut().map(|stream| stream.slot(weight));
            let Some(mut whole) = all.next() else { return Sent { to_canary: 0, window: None } };
            for sent in all {
                whole.to_canary += sent.to_canary;
                if let (Some(whole), Some(window)) = (&mut whole.window, sent.window) {
                    whole.components.extend(window.components);
                }
            }
            whole
        })
    }

    /// Nobody counts more often than this.
    fn interval_ms(&self) -> u64 {
        self.spec.window_ms().max(1_000)
    }

    /// What all runs come to, `walks` in the order of [`Scenario::ALL`].
    pub fn summary(&self, walks: &[Vec<Walk>]) -> Preview {
        Preview::new(&self.spec, &self.given, walks)
    }

    fn traffic(&self, component: &str, scenario: Scenario) -> Traffic {
        let Given { rps, error_rate, latency_p50_ms, pods, .. } = self.given;
        let fault = match scenario {
            Scenario::Healthy => None,
            Scenario::Errors(times) => {
                Some(Fault { error_rate: Some((error_rate * times).min(1.0)), ..Fault::at(0) })
            }
            Scenario::Latency(times) => Some(Fault { slower: times, ..Fault::at(0) }),
        };
        let sigmas = pods.map_or((0.0, 0.0), |_| POD_SIGMAS);
        Traffic {
            component: component.into(),
            interval_ms: self.interval_ms(),
            latency: Some(LatencyLaw { p50_ms: latency_p50_ms, sigma: LATENCY_SIGMA }),
            canary_pods: pods.unwrap_or(1),
            stable_pods: pods.unwrap_or(1),
            pod_error_sigma: sigmas.0,
            pod_latency_sigma: sigmas.1,
            fault,
            ..Traffic::new(rps / self.spec.compared().len() as f64, error_rate)
        }
    }
}

/// Spreads seeds that are near each other (SplitMix64).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
