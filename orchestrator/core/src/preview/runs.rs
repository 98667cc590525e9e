//! The runs of all scenarios as a report: what happens to a good release, and to bad ones.

use serde::Serialize;

use super::advice::{number, span, warnings};
use super::summary::{Quantiles, Share};
use super::walk::{End, Walk};
use super::{Given, Scenario};
use crate::config::model::Step;
use crate::judge::OnInconclusive;
use crate::rollout::Spec;

/// Inconclusive runs of a good release beyond this share are worth a word.
const STUCK: f64 = 0.05;

/// What a policy does with some traffic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    pub traffic: Given,
    /// Of each scenario.
    pub runs: usize,
    pub steps: Vec<Step>,
    pub healthy: Healthy,
    pub faults: Vec<FaultSummary>,
    /// What the policy cannot do in its own time, and what would help.
    pub advice: Vec<String>,
    /// What was taken for granted.
    pub notes: Vec<String>,
}

/// A release that is as good as the old one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Healthy {
    /// The judge found it worse: a false alarm.
    pub turned_back: Share,
    /// No verdict in time.
    pub inconclusive: Share,
    pub promoted: Share,
    pub seconds_to_promote: Quantiles,
    /// For a curve.
    #[serde(skip)]
    pub promoted_after: Vec<f64>,
}

/// A release that is worse in one way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultSummary {
    pub fault: Scenario,
    /// The judge found it worse, and traffic went back.
    pub turned_back: Share,
    pub inconclusive: Share,
    /// It got all of the traffic without having been seen.
    pub never_seen: Share,
    pub seconds_to_see: Quantiles,
    /// Requests that it answered until it was turned back, stopped, or had all of the traffic.
    pub requests_exposed: Quantiles,
    /// For a curve.
    #[serde(skip)]
    pub seen_after: Vec<f64>,
}

impl Preview {
    pub(super) fn new(spec: &Spec, given: &Given, walks: &[Vec<Walk>]) -> Self {
        let of = |scenario: Scenario| {
            let index = Scenario::ALL.iter().position(|s| *s == scenario).unwrap_or_default();
            walks.get(index).map_or(&[][..], Vec::as_slice)
        };
        let healthy = Healthy::new(of(Scenario::Healthy));
        let faults = Scenario::ALL.into_iter().filter(|s| *s != Scenario::Healthy);
        let faults: Vec<FaultSummary> =
            faults.map(|fault| FaultSummary::new(fault, of(fault))).collect();
        let mut preview = Self {
            traffic: given.clone(),
            runs: walks.iter().map(Vec::len).max().unwrap_or_default(),
            steps: spec.steps.clone(),
            healthy,
            faults,
            advice: warnings(spec, given.rps, given.error_rate),
            notes: notes(spec, given),
        };
        preview.advise(spec, of(Scenario::Healthy));
        preview
    }

    /// What only the runs can tell.
    fn advise(&mut self, spec: &Spec, healthy: &[Walk]) {
        let stuck = &self.healthy.inconclusive;
        if stuck.share > STUCK && self.advice.is_empty() {
            let ended = healthy.iter().filter(|w| matches!(w.end, End::Undecided { .. }));
            let mut at: Vec<usize> = ended.map(|walk| walk.step).collect();
            at.sort_unstable();
            let step = at.get(at.len() / 2).copied().unwrap_or_default();
            let weight = spec.steps[step].weight;
            let (what, more) = match spec.analysis.on_inconclusive {
                OnInconclusive::Promote => ("goes on without a verdict", ""),
                OnInconclusive::Pause => {
                    ("pauses without a verdict", ", and somebody has to decide")
                }
                OnInconclusive::Rollback => ("is turned back without a verdict", ""),
            };
            self.advice.push(format!(
                "a good release {what} in {} of {} runs{more}, mostly at step {} ({weight} %): give \
                 it a larger weight, a longer rollout.analysis.decide_within ({}) or \
                 rollout.deadline ({})",
                stuck.hits,
                stuck.of,
                step + 1,
                span(spec.analysis.decide_within.0 as f64 / 1000.0),
                span(spec.deadline_ms as f64 / 1000.0),
            ));
        }
        let false_alarms = &self.healthy.turned_back;
        if false_alarms.low > spec.analysis.alpha.fraction() {
            self.advice.push(format!(
                "good releases are turned back in {} % of the runs, more than `alpha` ({}): pods differ \
                 by more than is tolerated; run more of them, or raise \
                 rollout.analysis.errors.odds_ratio or rollout.analysis.latency.tolerance",
                number(false_alarms.share * 100.0),
                spec.analysis.alpha
            ));
        }
        let twice = self.faults.iter().find(|f| f.fault == Scenario::Latency(2.0));
        if let Some(fault) =
            twice.filter(|f| spec.analysis.judges_latency() && f.never_seen.share > 0.5)
        {
            self.advice.push(format!(
                "a release that takes twice as long gets all of the traffic in {} of {} runs: \
                 longer pauses or larger weights would show it",
                fault.never_seen.hits, fault.never_seen.of
            ));
        }
    }
}

impl Healthy {
    fn new(walks: &[Walk]) -> Self {
        let promoted_after = seconds(walks, End::Promoted);
        Self {
            turned_back: share(walks, |end| end == End::Worse),
            inconclusive: share(walks, |end| matches!(end, End::Undecided { .. })),
            promoted: share(walks, |end| end == End::Promoted),
            seconds_to_promote: Quantiles::new(&promoted_after, walks.len()),
            promoted_after,
        }
    }
}

impl FaultSummary {
    fn new(fault: Scenario, walks: &[Walk]) -> Self {
        let seen_after = seconds(walks, End::Worse);
        let exposed: Vec<f64> = walks.iter().map(|walk| walk.exposed as f64).collect();
        Self {
            fault,
            turned_back: share(walks, |end| end == End::Worse),
            inconclusive: share(walks, |end| matches!(end, End::Undecided { .. })),
            never_seen: share(walks, |end| end == End::Promoted),
            seconds_to_see: Quantiles::new(&seen_after, walks.len()),
            requests_exposed: Quantiles::new(&exposed, walks.len()),
            seen_after,
        }
    }
}

fn share(walks: &[Walk], is: impl Fn(End) -> bool) -> Share {
    Share::new(walks.iter().filter(|walk| is(walk.end)).count(), walks.len())
}

fn seconds(walks: &[Walk], end: End) -> Vec<f64> {
    walks.iter().filter(|walk| walk.end == end).map(|walk| walk.seconds).collect()
}

fn notes(spec: &Spec, given: &Given) -> Vec<String> {
    let mut notes = Vec::new();
    let compared = spec.compared();
    if compared.len() > 1 {
        notes.push(format!(
            "{} components are judged; each gets an equal part of the requests, and the fault is in {}",
            compared.len(),
            compared[0].component
        ));
    }
    if given.pods.is_none() {
        notes.push("pods are alike; --pods N lets them differ as pods do".into());
    }
    if spec.steps.iter().any(|step| step.gate) {
        notes.push("nobody keeps a gate waiting: each is opened at once".into());
    }
    if spec.steps.iter().any(|step| step.weight == 0 && step.analysis) {
        notes.push("requests that come by header or as copies are not counted at weight 0".into());
    }
    notes
}
