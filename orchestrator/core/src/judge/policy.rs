//! How a canary is judged: the section `rollout.analysis` of an environment file.
//!
//! Every constant of the judge that a user may want to change is here, with its default and what it promises.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verdict::Metric;
use crate::config::fractions::{Factor, Percent};
use crate::config::units::Millis;

/// How a canary is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Analysis {
    /// Time between two looks at the counts; the length of a window at the edge.
    pub interval: Millis,
    /// Answers that fail.
    pub errors: Errors,
    /// Answers that are slow.
    pub latency: Latency,
    /// Most chance of turning back a release that is not worse than tolerated, over all looks,
    /// metrics and components together.
    pub alpha: Percent,
    /// Most chance of giving all of the traffic to a release that must not have it: one whose errors
    /// are above `errors.budget` and whose odds of an error are `errors.not_worse` times the old
    /// one's or more; or one that `latency.not_worse` rules out. For a smaller weight `w` less
    /// is at stake and less is asked: there the chance is `beta` to the power of the square of
    /// `w`/100 (at the default 0.83 for 25 %, 0.47 for 50 %), and what protects is the alarm.
    pub beta: Percent,
    /// Time after which the judge starts afresh beside what it knows, so that a fault which comes
    /// late is seen nearly as soon as an early one.
    pub restart_every: Millis,
    /// Time in which most rollouts are over: faults that come later are seen somewhat later. The
    /// promise of `alpha` holds for any time.
    pub horizon: Millis,
    /// Requests (clients, where these stick to a side) that each component's new release has to
    /// answer before it is accepted for a larger weight.
    pub min_requests: u32,
    /// Longest time at one step without a verdict before that is called inconclusive.
    pub decide_within: Millis,
    /// What an inconclusive step comes to.
    pub on_inconclusive: OnInconclusive,
    /// Where counts come from instead of the edge's own counters.
    pub prometheus: Option<Prometheus>,
    /// On a cluster: counters that the pods themselves tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape: Option<Scrape>,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            interval: Millis(1_000),
            errors: Errors::default(),
            latency: Latency::default(),
            alpha: Percent(10_000),
            beta: Percent(50_000),
            restart_every: Millis(40_000),
            horizon: Millis(900_000),
            min_requests: 50,
            decide_within: Millis(900_000),
            on_inconclusive: OnInconclusive::default(),
            prometheus: None,
            scrape: None,
        }
    }
}

/// How errors are judged; further ratios of the metrics source are judged in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Errors {
    /// Tolerated odds of an error, as a multiple of the old release's. Pods differ: 1 would turn
    /// back releases for the machine that they run on.
    pub odds_ratio: Factor,
    /// For promotion it has to be shown that the odds are below this multiple of the old
    /// release's, or that errors are below `budget`.
    pub not_worse: Factor,
    /// Share of failing requests that is good enough whatever the old release does. For a
    /// component without an old release, more than this turns it back.
    pub budget: Percent,
}

impl Default for Errors {
    fn default() -> Self {
        Self { odds_ratio: Factor::whole(2), not_worse: Factor::whole(3), budget: Percent(10_000) }
    }
}

/// How latency is judged: the new release's share of requests slower than `tolerance` times a bound
/// against the old release's share slower than the bound, for many bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Latency {
    /// Whether latency is judged at all.
    pub judged: bool,
    /// How much slower the new release may be, as a factor. The bounds of the edge are 15 % apart;
    /// a metrics source with coarser bounds tolerates what its bounds cannot tell apart.
    pub tolerance: Factor,
    /// For promotion it has to be shown at every bound that the odds of being slower than
    /// `tolerance` times the bound are below this multiple of the old release's for the bound.
    pub not_worse: Factor,
}

impl Default for Latency {
    fn default() -> Self {
        Self { judged: true, tolerance: Factor(1_150_000), not_worse: Factor::whole(3) }
    }
}

/// What a step without a verdict comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnInconclusive {
    /// The rollout waits for somebody to say `rollout promote` or `rollout abort`.
    #[default]
    Pause,
    /// The next step is taken: only an alarm stops the release.
    Promote,
    /// The release is turned back: only a release that was shown to be good stays.
    Rollback,
}

/// A Prometheus that counts requests. In every query `{{component}}` and `{{revision}}` stand for what
/// is asked about; a query gives counters, and the judge sees how much they grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prometheus {
    /// Address of its API, for example `http://127.0.0.1:9090`.
    pub url: String,
    /// File with a bearer token for it, relative to the project; read again for each query.
    #[serde(default)]
    pub token_file: Option<String>,
    /// Time between two scrapes of what is counted; the length of a window.
    #[serde(default = "scrape_interval")]
    pub interval: Millis,
    /// PromQL: requests, as in `my_requests_total{revision="{{revision}}"}`. Series are left apart, by
    /// process, and not summed: see docs/metrics.md.
    pub requests: String,
    /// PromQL: those of them that failed, as in `my_errors_total{revision="{{revision}}"}`.
    pub errors: String,
    /// PromQL: their latency buckets by `le`, in seconds; latency is not judged when absent.
    #[serde(default)]
    pub latency: Option<String>,
    /// Further proportions by name, judged as errors are.
    #[serde(default)]
    pub ratios: BTreeMap<String, RatioQueries>,
}

/// Counters that the component's pods tell in Prometheus' text format, fetched by way of the API server: nothing has to be
/// installed. A selector is a name and matchers, as in `my_requests_total{status=~"5.."}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scrape {
    /// Where on the component's port they are told.
    #[serde(default = "metrics_path")]
    pub path: String,
    /// Time between two looks; the length of a window.
    #[serde(default = "pods_interval")]
    pub interval: Millis,
    /// Selector: requests, probes left out.
    pub requests: String,
    /// Selector: those of them that failed.
    pub errors: String,
    /// Selector: their latency buckets by `le`, in seconds; latency is not judged when absent.
    #[serde(default)]
    pub latency: Option<String>,
}

fn metrics_path() -> String {
    "/metrics".into()
}

fn pods_interval() -> Millis {
    Millis(2_000)
}

fn scrape_interval() -> Millis {
    Millis(15_000)
}

/// The two counters of a proportion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RatioQueries {
    /// PromQL: how many there were.
    pub of: String,
    /// PromQL: how many of them were bad.
    pub bad: String,
}

impl Analysis {
    /// Names of the proportions that are judged beside errors.
    pub fn ratios(&self) -> impl Iterator<Item = &String> {
        self.prometheus.iter().flat_map(|source| source.ratios.keys())
    }

    /// Whether latency is judged: it is wanted, and the source of the counts knows it.
    pub fn judges_latency(&self) -> bool {
        self.latency.judged
            && self.prometheus.as_ref().is_none_or(|source| source.latency.is_some())
            && self.scrape.as_ref().is_none_or(|source| source.latency.is_some())
    }

    /// The length of a window: the edge's, or that of another source of counts.
    pub fn window(&self) -> Millis {
        let scraped = self.scrape.as_ref().map(|source| source.interval);
        self.prometheus.as_ref().map(|source| source.interval).or(scraped).unwrap_or(self.interval)
    }

    /// Whether requests are counted when they end, whatever their latency; the edge knows of those under way.
    pub fn counts_at_the_end(&self) -> bool {
        self.prometheus.is_some() || self.scrape.is_some()
    }

    /// What the evidence against one metric of one of so many components has to reach for an alarm. `alpha` is
    /// divided among components and metrics; errors get four parts where others get one, as
    /// they are few and have to be seen within seconds.
    pub fn alarm_bound(&self, metric: &Metric, components: usize) -> f64 {
        const ERRORS: f64 = 4.0;
        // Of no chance at all there is no evidence, and of certainty no bound.
        let alpha = self.alpha.fraction().clamp(1e-6, 0.5);
        let others = self.ratios().count() + usize::from(self.judges_latency());
        let part = if *metric == Metric::Errors { ERRORS } else { 1.0 };
        (ERRORS + others as f64) * components.max(1) as f64 / (part * alpha)
    }

    /// What the evidence for a release has to reach before it gets `weight` percent.
    pub fn acceptance_bound(&self, weight: u32) -> f64 {
        let share = f64::from(weight.min(100)) / 100.0;
        self.beta.fraction().clamp(1e-6, 0.5).powf(-share * share)
    }

    /// How many times the judge starts within the horizon, the first time included.
    pub fn copies(&self) -> u32 {
        let every = self.restart_every.0.max(1);
        u32::try_from(self.horizon.0.div_ceil(every)).unwrap_or(u32::MAX).clamp(1, 10_000)
    }
}
