//! One component's metrics, judged side by side.

use std::collections::BTreeMap;

use super::bounds::Sums;
use super::evidence::{ComponentEvidence, MetricEvidence, Quantiles, SideEvidence};
use super::latency::Latency;
use super::policy::Analysis;
use super::proportion::Proportion;
use super::verdict::{Lacking, Metric};
use super::wealth::Schedule;
use super::window::{Ratio, Sides};

#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// There is no old release of it.
    pub alone: bool,
    errors: Proportion,
    latency: Option<Latency>,
    ratios: BTreeMap<String, Proportion>,
    errors_bound: f64,
    /// Of latency and of each ratio.
    other_bound: f64,
}

/// Evidence for promotion is not held beyond this many times what full promotion asks for.
const HELD: f64 = 10.0;

/// A metric that is worse than tolerated.
pub struct Crossed {
    pub metric: Metric,
    pub evidence: f64,
    pub bound: f64,
    pub canary: Ratio,
    pub stable: Ratio,
    pub bounds_us: Option<(u64, u64)>,
}

impl Component {
    /// One of so many components.
    pub fn new(analysis: &Analysis, components: usize) -> Self {
        let ln_most = (HELD * analysis.acceptance_bound(100)).ln();
        Self {
            alone: false,
            errors: Proportion::new(analysis, ln_most),
            latency: analysis.judges_latency().then(|| Latency::new(analysis, ln_most)),
            ratios: analysis
                .ratios()
                .map(|name| (name.clone(), Proportion::new(analysis, ln_most)))
                .collect(),
            errors_bound: analysis.alarm_bound(&Metric::Errors, components),
            other_bound: analysis.alarm_bound(&Metric::Latency, components),
        }
    }

    fn alarm_bound(&self, metric: &Metric) -> f64 {
        if *metric == Metric::Errors { self.errors_bound } else { self.other_bound }
    }

    pub fn start(&mut self, stake: f64) {
        self.errors.start(stake);
        self.latency.iter_mut().for_each(|latency| latency.start(stake));
        self.ratios.values_mut().for_each(|ratio| ratio.start(stake));
    }

    /// What came before the last mark but one is not shown with an alarm.
    pub fn mark(&mut self) {
        self.errors.tally.mark();
        self.latency.iter_mut().for_each(Latency::mark);
        self.ratios.values_mut().for_each(|ratio| ratio.tally.mark());
    }

    /// Takes a window's counts; gives how many of them cannot be and were left out.
    pub fn take(&mut self, sides: &Sides) -> u64 {
        let Sides { canary, stable } = sides;
        let errors = |counts: &super::Counts| Ratio { of: counts.requests, bad: counts.errors };
        let mut refused = 0;
        refused += u64::from(!self.errors.take(errors(canary), errors(stable), self.alone));
        if let Some(latency) = &mut self.latency {
            refused += u64::from(!latency.take(&canary.latency, &stable.latency));
        }
        for (name, ratio) in &mut self.ratios {
            let of = |counts: &super::Counts| counts.ratios.get(name).copied().unwrap_or_default();
            refused += u64::from(!ratio.take(of(canary), of(stable), self.alone));
        }
        refused
    }

    fn proportions(&self) -> impl Iterator<Item = (Metric, &Proportion)> {
        let ratios = self.ratios.iter().map(|(name, ratio)| (Metric::Ratio(name.clone()), ratio));
        std::iter::once((Metric::Errors, &self.errors)).chain(ratios)
    }

    pub fn crossed(&self, schedule: &Schedule) -> Option<Crossed> {
        for (metric, proportion) in self.proportions() {
            let (evidence, bound) = (proportion.worse(schedule), self.alarm_bound(&metric));
            if evidence >= bound {
                let [canary, stable] = proportion.tally.recent();
                return Some(Crossed { metric, evidence, bound, canary, stable, bounds_us: None });
            }
        }
        let latency = self.latency.as_ref()?;
        let (evidence, bound) = (latency.worse(schedule), self.other_bound);
        let pair = latency.worst().filter(|_| evidence >= bound)?;
        let [canary, stable] = pair.tally.recent();
        Some(Crossed {
            metric: Metric::Latency,
            evidence,
            bound,
            canary,
            stable,
            bounds_us: Some((pair.canary_us, pair.stable_us)),
        })
    }

    pub fn lacks(&self, bound: f64, min_requests: u64) -> Vec<Lacking> {
        let requests = self.errors.tally.canary.of;
        if requests == 0 {
            return vec![Lacking::Windows];
        }
        let mut lacks = Vec::new();
        if requests < min_requests {
            lacks.push(Lacking::Exposure { requests, needed: min_requests });
        }
        for (metric, proportion) in self.proportions() {
            let evidence = proportion.better();
            if evidence < bound {
                lacks.push(Lacking::Evidence { metric, evidence, bound, slower_than_us: None });
            }
        }
        if let Some(latency) = self.latency.as_ref().filter(|latency| latency.compares()) {
            match latency.weakest() {
                None => lacks.push(Lacking::Bounds),
                Some((pair, evidence)) if evidence < bound => lacks.push(Lacking::Evidence {
                    metric: Metric::Latency,
                    evidence,
                    bound,
                    slower_than_us: Some(pair.canary_us),
                }),
                Some(_) => {}
            }
        }
        lacks
    }

    pub fn evidence(&self, schedule: &Schedule, better_bound: f64) -> ComponentEvidence {
        let entry = |metric, worse, better| MetricEvidence {
            worse_bound: self.alarm_bound(&metric),
            metric,
            worse,
            better,
            better_bound,
        };
        let mut metrics: Vec<MetricEvidence> = self
            .proportions()
            .map(|(metric, p)| entry(metric, p.worse(schedule), Some(p.better())))
            .collect();
        if let Some(latency) = &self.latency {
            let better = latency.weakest().map(|(_, evidence)| evidence);
            metrics.insert(1, entry(Metric::Latency, latency.worse(schedule), better));
        }
        ComponentEvidence {
            alone: self.alone,
            canary: self.side(|p| p.tally.canary, |sums| sums.canary),
            stable: self.side(|p| p.tally.stable, |sums| sums.stable),
            metrics,
        }
    }

    fn side(
        &self,
        counts: impl Fn(&Proportion) -> Ratio,
        latency: impl Fn(&Sums) -> Ratio,
    ) -> SideEvidence {
        let errors = counts(&self.errors);
        let quantile = |q| self.latency.as_ref()?.totals.quantile(&latency, q);
        SideEvidence {
            requests: errors.of,
            errors: errors.bad,
            error_rate: (errors.of > 0).then(|| errors.bad as f64 / errors.of as f64),
            latency: Quantiles {
                p50_us: quantile(0.5),
                p95_us: quantile(0.95),
                p99_us: quantile(0.99),
            },
            ratios: self.ratios.iter().map(|(name, p)| (name.clone(), counts(p))).collect(),
        }
    }
}
