//! One proportion of one component: errors, or a ratio that the environment file names.

use super::hypergeometric::{MOST_UNITS, Odds, Table};
use super::policy::Analysis;
use super::tally::Tally;
use super::wealth::{Forgetful, Restarted, Schedule};
use super::window::Ratio;

/// How much worse than tolerated a release may be: odds ratios as multiples of the tolerated one.
/// From twice to 32 times, each twice the one before: whatever the truth is, one is near.
pub const WORSE: [f64; 5] = [2.0, 4.0, 8.0, 16.0, 32.0];
/// How the stake is spread over them: what is much worse has to be seen soonest.
pub const STAKES: [f64; 5] = [1.0, 1.0, 2.0, 2.0, 2.0];
/// How good a release may be, as multiples of the odds ratio that promotion has to rule out. At the
/// default of 3 the middle one is a release as good as the old.
pub const BETTER: [f64; 3] = [1.0 / 6.0, 1.0 / 3.0, 1.0 / 2.0];
/// The same for the budget: hardly any errors, some, half of it.
pub const WITHIN: [f64; 3] = [0.05, 0.25, 0.5];

/// Evidence about one proportion.
#[derive(Debug, Clone, PartialEq)]
pub struct Proportion {
    /// The tolerated odds ratio and those beyond it, the one that promotion rules out and those below it.
    odds: Odds<10>,
    budget: f64,
    /// Bets that the canary is worse than tolerated: than the stable side, or than the budget when
    /// there is no stable release.
    worse: Restarted<5>,
    /// Bets that it is not much worse than the stable side.
    better: Forgetful<3>,
    /// Bets that it is within the budget.
    within: Forgetful<3>,
    pub tally: Tally,
}

impl Proportion {
    pub fn new(analysis: &Analysis, ln_most: f64) -> Self {
        Self {
            odds: odds(
                (analysis.errors.odds_ratio.value().max(1e-3), &WORSE),
                (analysis.errors.not_worse.value().max(1e-3), &BETTER),
            ),
            // At the ends there is nothing to bet on.
            budget: analysis.errors.budget.fraction().clamp(1e-6, 0.99),
            worse: Restarted::new(),
            better: Forgetful::new(ln_most),
            within: Forgetful::new(ln_most),
            tally: Tally::default(),
        }
    }

    pub fn start(&mut self, stake: f64) {
        self.worse.start(stake, &STAKES);
    }

    /// Takes a window's counts; `false` when they cannot be. `alone`: there is no stable release.
    pub fn take(&mut self, canary: Ratio, stable: Ratio, alone: bool) -> bool {
        let Some(table) = Table::new(canary, stable) else { return false };
        if self.tally.canary.of.saturating_add(canary.of) > MOST_UNITS * 1_000 {
            return false;
        }
        if alone {
            let over = WORSE.map(|k| (k * self.budget).min((1.0 + self.budget) / 2.0));
            self.worse.multiply(&bernoulli(canary, self.budget, &over));
        } else if table.speaks() {
            let under = table.under(&self.odds);
            self.worse.multiply(&under.ln_ratios(0, 1));
            self.better.multiply(&under.ln_ratios(6, 7));
        }
        let within = WITHIN.map(|k| k * self.budget);
        self.within.multiply(&bernoulli(canary, self.budget, &within));
        self.tally.add(canary, stable);
        true
    }

    pub fn worse(&self, schedule: &Schedule) -> f64 {
        schedule.with_cash(self.worse.total())
    }

    /// Evidence against "much worse than the stable side *and* over the budget": the mean of the evidence against
    /// either, which is an e-process when both hold. Without a stable side only the budget speaks.
    pub fn better(&self) -> f64 {
        if self.tally.stable.of == 0 {
            self.within.value()
        } else {
            0.5 * (self.better.value() + self.within.value())
        }
    }
}

/// A null with five alternatives, and another with three, all of them multiples of it.
pub fn odds(worse: (f64, &[f64; 5]), better: (f64, &[f64; 3])) -> Odds<10> {
    let mut psi = [worse.0, 0.0, 0.0, 0.0, 0.0, 0.0, better.0, 0.0, 0.0, 0.0];
    for (psi, k) in psi[1..6].iter_mut().zip(worse.1) {
        *psi = k * worse.0;
    }
    for (psi, k) in psi[7..].iter_mut().zip(better.1) {
        *psi = k * better.0;
    }
    Odds::new(psi)
}

/// The logarithms of the likelihood ratios of some error rates against `null`. For errors at a rate beyond
/// `null`, seen from an alternative on its other side, their mean is below 1.
fn bernoulli<const K: usize>(counts: Ratio, null: f64, alternatives: &[f64; K]) -> [f64; K] {
    let (bad, good) = (counts.bad as f64, (counts.of - counts.bad) as f64);
    alternatives.map(|p| bad * (p / null).ln() + good * ((1.0 - p) / (1.0 - null)).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bad: u64, of: u64) -> Ratio {
        Ratio { of, bad }
    }

    #[test]
    fn the_budget_alone_is_shown_by_377_clean_requests() {
        let mut errors = Proportion::new(&Analysis::default(), 200.0_f64.ln());
        for _ in 0..376 {
            assert!(errors.take(of(0, 1), of(0, 0), true));
        }
        assert!(errors.better() < 20.0, "{}", errors.better());
        errors.take(of(0, 1), of(0, 0), true);
        assert!(errors.better() >= 20.0, "{}", errors.better());
    }

    #[test]
    fn no_error_rate_of_the_null_gains_on_average() {
        for n in 1..40_u64 {
            let mut choose = 1.0;
            let (mut within, mut over) = (0.0, 0.0);
            for bad in 0..=n {
                let p = choose * 0.01_f64.powi(bad as i32) * 0.99_f64.powi((n - bad) as i32);
                within += p * bernoulli(of(bad, n), 0.01, &[0.0005])[0].exp();
                over += p * bernoulli(of(bad, n), 0.01, &[0.08])[0].exp();
                choose *= (n - bad) as f64 / (bad + 1) as f64;
            }
            assert!((within - 1.0).abs() < 1e-9 && (over - 1.0).abs() < 1e-9, "{within} {over}");
        }
    }

    #[test]
    fn impossible_counts_change_nothing() {
        let mut errors = Proportion::new(&Analysis::default(), 200.0_f64.ln());
        let before = errors.clone();
        for (canary, stable) in
            [(of(2, 1), of(0, 9)), (of(0, 9), of(3, 2)), (of(0, u64::MAX), of(0, 1))]
        {
            assert!(!errors.take(canary, stable, false));
        }
        assert_eq!(errors, before);
    }
}
