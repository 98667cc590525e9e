//! The judge: whether a new release answers as well as the old one, from counts alone.
//!
//! It is fed windows and holds evidence; it knows no clock, no router and no metrics server. What
//! a verdict does to the traffic is the rollout machine's business.

mod bounds;
mod component;
mod evidence;
mod hypergeometric;
mod latency;
mod policy;
mod proportion;
pub mod recorded;
pub mod scraped;
pub mod slots;
mod tally;
#[cfg(test)]
mod tests;
mod verdict;
mod wealth;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use self::component::Component;
pub use evidence::{ComponentEvidence, Evidence, MetricEvidence, Quantiles, SideEvidence};
pub use latency::known_after_us;
pub use policy::{Analysis, Errors, Latency, OnInconclusive, Prometheus, RatioQueries, Scrape};
pub(crate) use proportion::{BETTER, STAKES, WITHIN, WORSE};
pub use verdict::{Acceptance, Alarm, Lack, Lacking, Metric, Verdict};
use wealth::Schedule;
pub(crate) use wealth::WITHIN_HORIZON;
pub use window::{Compared, Counts, Ratio, Sides, Slower, Window};

/// An alarm shows counts of between once and twice this time: what a fault did, not what was before it.
const RECENT_MS: u64 = 120_000;

/// Holds evidence about the components of one rollout. The same windows in the same order give the
/// same judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    analysis: Analysis,
    schedule: Schedule,
    components: BTreeMap<String, Component>,
    windows: u64,
    ignored: u64,
    refused: u64,
    end_ms: Option<u64>,
    alarm: Option<Alarm>,
}

impl Judge {
    /// A judge of these components, who has seen nothing.
    pub fn new(analysis: &Analysis, components: impl IntoIterator<Item = String>) -> Self {
        let names: BTreeSet<String> = components.into_iter().collect();
        let count = names.len();
        Self {
            analysis: analysis.clone(),
            schedule: Schedule::new(analysis.restart_every.0, analysis.copies()),
            components: names
                .into_iter()
                .map(|name| (name, Component::new(analysis, count)))
                .collect(),
            windows: 0,
            ignored: 0,
            refused: 0,
            end_ms: None,
            alarm: None,
        }
    }

    /// These components have no old release: their errors are held against the budget, also for an
    /// alarm. Where there is an old release, errors above the budget are no alarm: an incident
    /// that both share must not turn back a healthy one.
    pub fn alone<'a>(mut self, components: impl IntoIterator<Item = &'a str>) -> Self {
        for name in components {
            if let Some(component) = self.components.get_mut(name) {
                component.alone = true;
            }
        }
        self
    }

    /// Takes a window in. One that was taken before, or is older than one before, changes nothing; counts
    /// that cannot be are left out.
    pub fn take(&mut self, window: &Window) {
        if self.end_ms.is_some_and(|end| window.end_ms <= end) {
            self.ignored += 1;
            return;
        }
        let mark = self.end_ms.is_none_or(|end| end / RECENT_MS < window.end_ms / RECENT_MS);
        self.end_ms = Some(window.end_ms);
        self.windows += 1;
        let due = self.schedule.due(window.end_ms);
        let empty = Sides::default();
        for (name, component) in &mut self.components {
            component.start(due);
            if mark {
                component.mark();
            }
            self.refused += component.take(window.components.get(name).unwrap_or(&empty));
        }
        if self.alarm.is_none() {
            self.alarm = self.crossed(window.end_ms);
        }
    }

    fn crossed(&self, at_ms: u64) -> Option<Alarm> {
        self.components.iter().find_map(|(name, component)| {
            component.crossed(&self.schedule).map(|found| Alarm {
                component: name.clone(),
                metric: found.metric,
                at_ms,
                evidence: found.evidence,
                bound: found.bound,
                canary: found.canary,
                stable: (!component.alone).then_some(found.stable),
                bounds_us: found.bounds_us,
            })
        })
    }

    /// Set once the new release was seen to be worse; later windows do not take it back.
    pub fn alarm(&self) -> Option<&Alarm> {
        self.alarm.as_ref()
    }

    /// Whether the evidence suffices to give the new release `weight` percent of the traffic.
    pub fn accepts(&self, weight: u32) -> Acceptance {
        if let Some(alarm) = &self.alarm {
            return Acceptance::Missing(alarm.to_string());
        }
        let lacks: Vec<String> = self.lacks(weight).iter().map(Lack::to_string).collect();
        if lacks.is_empty() { Acceptance::Accepted } else { Acceptance::Missing(lacks.join("; ")) }
    }

    /// What is missing for `weight` percent.
    pub fn lacks(&self, weight: u32) -> Vec<Lack> {
        let bound = self.analysis.acceptance_bound(weight);
        let min_requests = self.analysis.min_requests.into();
        self.components
            .iter()
            .flat_map(|(name, component)| {
                component
                    .lacks(bound, min_requests)
                    .into_iter()
                    .map(|what| Lack { component: name.clone(), what })
            })
            .collect()
    }

    pub fn verdict(&self) -> Verdict {
        if self.alarm.is_some() {
            Verdict::Worse
        } else if !self.components.is_empty() && self.lacks(100).is_empty() {
            Verdict::BetterOrEqual
        } else {
            Verdict::Inconclusive
        }
    }

    /// Everything, for people and for JSON.
    pub fn evidence(&self) -> Evidence {
        let components = self.components.iter().map(|(name, component)| {
            let bound = self.analysis.acceptance_bound(100);
            (name.clone(), component.evidence(&self.schedule, bound))
        });
        Evidence {
            verdict: self.verdict(),
            windows: self.windows,
            ignored: self.ignored,
            refused: self.refused,
            end_ms: self.end_ms,
            components: components.collect(),
        }
    }
}
