//! What a policy can decide in its own time, by the growth of the evidence that is to be expected.
//!
//! Of a bet with odds ratio `psi` against `null` the logarithm grows, per second, by
//! `c ln(psi/null) - (c+s) ln((w psi + 1-w)/(w null + 1-w))`, where `c` and `s` are the errors per
//! second of the two sides and `w` the canary's weight. That is exact while errors are rare. Evidence has to
//! grow to the logarithm of what the judge asks for; half of all releases need less time than that.
//! No random numbers, so that a plan can ask for it.

use crate::config::model::Step;
use crate::judge::{Analysis, BETTER, Metric, STAKES, WITHIN, WITHIN_HORIZON, WORSE};

/// Nothing that takes longer is waited for, in seconds.
const MOST: f64 = 1e7;
/// The same where time is gone through copy by copy.
const LONGEST: f64 = 86_400.0;

/// What a good release has shown so far: logarithms of the bets for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    requests: f64,
    better: [f64; 3],
    within: [f64; 3],
}

impl Held {
    /// The mean that the judge compares.
    fn better(&self) -> f64 {
        let mean = |bets: &[f64; 3]| bets.iter().map(|ln| ln.exp()).sum::<f64>() / 3.0;
        0.5 * (mean(&self.better) + mean(&self.within))
    }
}

/// A policy under a rate of requests.
pub(super) struct Arithmetic<'a> {
    pub analysis: &'a Analysis,
    pub steps: &'a [Step],
    /// Components that are judged.
    pub components: usize,
    /// Requests a second of one component.
    pub rps: f64,
    pub error_rate: f64,
}

impl Arithmetic<'_> {
    /// Requests a second that the new release gets at a weight.
    pub fn canary_rps(&self, weight: u8) -> f64 {
        self.rps * f64::from(weight) / 100.0
    }

    /// Seconds that each step is likely to take for a release with so many times the errors, as far
    /// as errors go; none where that never ends. What a step gains the next one has already.
    pub fn durations(&self, factor: f64) -> Vec<Option<f64>> {
        let mut held = Held::default();
        let mut stuck = false;
        let mut durations = Vec::with_capacity(self.steps.len());
        for n in 0..self.steps.len() {
            let pause = self.steps[n].pause.0 as f64 / 1000.0;
            if !self.is_judged(n) {
                durations.push((!stuck).then_some(pause));
                continue;
            }
            let seconds = self.acceptance(n, factor, &held).map(|seconds| seconds.max(pause));
            stuck |= seconds.is_none();
            durations.push(seconds.filter(|_| !stuck));
            held = self.after(n, factor, seconds.unwrap_or(0.0), &held);
        }
        durations
    }

    /// Seconds at step `n` until the new release has answered `min_requests`, if it ever does.
    pub fn exposure(&self, n: usize, held: &Held) -> Option<f64> {
        let rps = self.canary_rps(self.steps[n].weight);
        let missing = f64::from(self.analysis.min_requests) - held.requests;
        (rps > 0.0).then(|| missing.max(0.0) / rps)
    }

    /// Seconds until the judge accepts the release for the step after `n`.
    pub fn acceptance(&self, n: usize, factor: f64, held: &Held) -> Option<f64> {
        let next = self.steps.get(n + 1).map_or(100, |next| next.weight);
        let bound = self.analysis.acceptance_bound(next.into());
        let enough = |seconds: f64| self.after(n, factor, seconds, held).better() >= bound;
        let exposure = self.exposure(n, held)?;
        if enough(exposure) {
            return Some(exposure);
        }
        let (mut low, mut high) = (exposure, MOST);
        if !enough(high) {
            return None;
        }
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if enough(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }

    /// What is held after some more seconds at step `n`.
    pub fn after(&self, n: usize, factor: f64, seconds: f64, held: &Held) -> Held {
        let weight = self.steps[n].weight;
        let rps = self.canary_rps(weight);
        let null = self.analysis.errors.not_worse.value();
        let budget = self.analysis.errors.budget.fraction().clamp(1e-6, 0.99);
        let p = (self.error_rate * factor).min(1.0);
        let mut after = held.clone();
        after.requests += seconds * rps;
        for (ln, k) in after.better.iter_mut().zip(BETTER) {
            *ln += seconds * self.growth(weight, factor, null, k * null);
        }
        for (ln, k) in after.within.iter_mut().zip(WITHIN) {
            let q = k * budget;
            let each = p * (q / budget).ln() + (1.0 - p) * ((1.0 - q) / (1.0 - budget)).ln();
            *ln += seconds * rps * each;
        }
        after
    }

    pub fn is_judged(&self, n: usize) -> bool {
        let step = &self.steps[n];
        step.analysis && (1..100).contains(&step.weight)
    }

    /// The smallest rise of errors that half of all bad releases are turned back for before they have
    /// all of the traffic or the judge gives up; none when no rise is.
    pub fn smallest_rise(&self) -> Option<f64> {
        let most = 1.0 / self.error_rate.max(1e-9);
        if !self.is_seen(most) {
            return None;
        }
        let (mut low, mut high) = (1.0, most);
        for _ in 0..40 {
            let middle = f64::sqrt(low * high);
            if self.is_seen(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }

    /// Seconds at a weight until half of the releases with so many more errors are turned back; none
    /// when that takes more than [`LONGEST`].
    pub fn seconds_to_see(&self, factor: f64, weight: u8) -> Option<f64> {
        let growth = self.against(weight, factor);
        let grows = growth.iter().any(|growth| *growth > 0.0);
        grows.then(|| Bets::new(self).after(LONGEST, &growth)).flatten()
    }

    fn is_seen(&self, factor: f64) -> bool {
        let patience = self.analysis.decide_within.0 as f64 / 1000.0;
        let mut bets = Bets::new(self);
        for (n, seconds) in self.durations(factor).into_iter().enumerate() {
            let pause = self.steps[n].pause.0 as f64 / 1000.0;
            let spent = seconds.unwrap_or(f64::INFINITY).min(patience.max(pause));
            let growth = self.against(self.steps[n].weight, factor);
            if self.is_judged(n) && bets.after(spent, &growth).is_some() {
                return true;
            }
            if seconds.is_none_or(|seconds| seconds > spent) {
                break;
            }
        }
        false
    }

    /// How the bets that a release is worse grow.
    fn against(&self, weight: u8, factor: f64) -> [f64; 5] {
        let null = self.analysis.errors.odds_ratio.value();
        WORSE.map(|k| self.growth(weight, factor, null, k * null))
    }

    fn growth(&self, weight: u8, factor: f64, null: f64, psi: f64) -> f64 {
        let w = f64::from(weight) / 100.0;
        let canary = self.rps * w * (self.error_rate * factor).min(1.0);
        let stable = self.rps * (1.0 - w) * self.error_rate;
        let mixed = |psi: f64| w * psi + 1.0 - w;
        canary * (psi / null).ln() - (canary + stable) * (mixed(psi) / mixed(null)).ln()
    }
}

/// Bets that a release is worse, with the copies that start one after the other.
struct Bets {
    bound: f64,
    every: f64,
    stake: f64,
    copies: u32,
    until_next: f64,
    spent: f64,
    bets: [f64; 5],
}

impl Bets {
    fn new(arithmetic: &Arithmetic<'_>) -> Self {
        let analysis = arithmetic.analysis;
        Self {
            bound: analysis.alarm_bound(&Metric::Errors, arithmetic.components),
            every: (analysis.restart_every.0 as f64 / 1000.0).max(1.0),
            stake: WITHIN_HORIZON / f64::from(analysis.copies()),
            copies: analysis.copies(),
            until_next: 0.0,
            spent: 0.0,
            bets: [0.0; 5],
        }
    }

    /// Lets time pass; the seconds since the beginning at which the bound is reached, if it is.
    fn after(&mut self, mut seconds: f64, growth: &[f64; 5]) -> Option<f64> {
        let whole: f64 = STAKES.iter().sum();
        while seconds > 0.0 {
            if self.until_next <= 0.0 && self.copies > 0 {
                for (bet, part) in self.bets.iter_mut().zip(STAKES) {
                    *bet += self.stake * part / whole;
                }
                self.copies -= 1;
            }
            if self.until_next <= 0.0 {
                self.until_next = self.every;
            }
            let passed = seconds.min(self.until_next);
            if self.at(passed, growth) >= self.bound {
                let (mut low, mut high) = (0.0, passed);
                for _ in 0..30 {
                    let middle = (low + high) / 2.0;
                    if self.at(middle, growth) >= self.bound { high = middle } else { low = middle }
                }
                return Some(self.spent + high);
            }
            for (bet, growth) in self.bets.iter_mut().zip(growth) {
                *bet *= (growth * passed).exp();
            }
            (self.until_next, self.spent, seconds) =
                (self.until_next - passed, self.spent + passed, seconds - passed);
        }
        None
    }

    fn at(&self, seconds: f64, growth: &[f64; 5]) -> f64 {
        self.bets.iter().zip(growth).map(|(bet, growth)| bet * (growth * seconds).exp()).sum()
    }
}
