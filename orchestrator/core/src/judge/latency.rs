//! Latency of one component: is the canary slower than `tolerance` times the stable side?
//!
//! For a bound `B` the canary's units slower than `tolerance * B` are compared with the stable side's slower than `B`:
//! a release that is slower by no more than the tolerance has no larger share there, whatever `B`
//! and whatever the law of latencies.
//!
//! Which pairs of bounds are worth a bet depends on where latencies lie, and that is known from the windows
//! before. So a stake stays in cash, as 1, until there are pairs, and is then spread evenly over
//! those in which units differ. A stake that is placed by what is past keeps the mean at most 1.

use super::bounds::{Latencies, Sums, Totals};
use super::hypergeometric::{Odds, Table};
use super::policy::Analysis;
use super::proportion::odds;
use super::tally::Tally;
use super::wealth::{Forgetful, Restarted, Schedule};
use super::window::{Ratio, Slower};

/// How much worse than "as slow as tolerated": odds ratios. 1.2 times the latency is no more than twice
/// the odds, so small ones matter.
const WORSE: [f64; 5] = [1.1, 1.25, 1.5, 2.0, 4.0];
/// As multiples of the odds ratio that promotion has to rule out.
const BETTER: [f64; 3] = [1.0 / 6.0, 1.0 / 3.0, 1.0 / 2.0];
/// Shares of slow units, of both sides together, between which a pair gets a part of a new stake.
const WORTH_A_BET: (f64, f64) = (0.005, 0.995);
/// A pair has to speak for promotion unless both sides' shares are below the first or above the second: where
/// practically nobody or everybody is slower, evidence would take for ever.
const DEMANDED: (f64, f64) = (0.05, 0.95);
/// Bounds are whole microseconds, so a bound this much below its place is the right one.
const ROUNDING: f64 = 0.01;

/// When it is known of a slot of time how many of its units were slower than a bound, counted from its end.
///
/// Not the bound itself, but half a second or the next power of two seconds: the counts of the two bounds of a
/// pair have to be about the same units. Were each bound counted as soon as it can be, then for a
/// while at the end of an incident that both sides share, the canary's slow units would be counted
/// and the stable side's would not.
pub fn known_after_us(bound_us: u64) -> u64 {
    const SECOND_US: u64 = 1_000_000;
    if bound_us <= SECOND_US / 2 {
        return SECOND_US / 2;
    }
    bound_us
        .div_ceil(SECOND_US)
        .checked_next_power_of_two()
        .map_or(bound_us, |seconds| seconds.saturating_mul(SECOND_US))
}

/// Evidence about latency.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    tolerance: f64,
    /// As slow as tolerated and what is slower, the odds ratio that promotion rules out and those below it.
    odds: Odds<10>,
    ln_most: f64,
    /// Windows hold counts of different units for bounds that are known at different times.
    lagged: bool,
    /// Stakes that wait for pairs.
    cash: f64,
    /// In the order of their bounds.
    pairs: Vec<Pair>,
    pub totals: Totals,
}

/// The canary against one bound of the stable side.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub stable_us: u64,
    pub canary_us: u64,
    worse: Restarted<5>,
    better: Forgetful<3>,
    pub tally: Tally,
}

impl Latency {
    pub fn new(analysis: &Analysis, ln_most: f64) -> Self {
        Self {
            tolerance: analysis.latency.tolerance.value().max(1.0),
            odds: odds((1.0, &WORSE), (analysis.latency.not_worse.value().max(1e-3), &BETTER)),
            ln_most,
            lagged: !analysis.counts_at_the_end(),
            cash: 0.0,
            pairs: Vec::new(),
            totals: Totals::default(),
        }
    }

    pub fn start(&mut self, stake: f64) {
        self.cash += stake;
    }

    pub fn mark(&mut self) {
        self.pairs.iter_mut().for_each(|pair| pair.tally.mark());
    }

    /// Takes a window's counts; `false` when they cannot be.
    pub fn take(&mut self, canary: &[Slower], stable: &[Slower]) -> bool {
        let Some(window) = Latencies::new(canary, stable) else { return false };
        self.place_stakes();
        for pair in &mut self.pairs {
            let (Some(canary), Some(stable)) =
                (window.canary(pair.canary_us), window.stable(pair.stable_us))
            else {
                continue;
            };
            pair.take(canary, stable, &self.odds);
        }
        if self.totals.add(&window) {
            self.pair_up();
        }
        true
    }

    fn place_stakes(&mut self) {
        if self.cash == 0.0 {
            return;
        }
        let worth = |pair: &Pair| {
            let sums = Ratio {
                of: pair.tally.canary.of.saturating_add(pair.tally.stable.of),
                bad: pair.tally.canary.bad.saturating_add(pair.tally.stable.bad),
            };
            share(sums).is_some_and(|s| (WORTH_A_BET.0..=WORTH_A_BET.1).contains(&s))
        };
        let count = self.pairs.iter().filter(|pair| worth(pair)).count();
        if count == 0 {
            return;
        }
        let stake = self.cash / count as f64;
        self.pairs
            .iter_mut()
            .filter(|pair| worth(pair))
            .for_each(|pair| pair.worse.start(stake, &[1.0; 5]));
        self.cash = 0.0;
    }

    /// Gives each bound its counterpart, now that there are more of them.
    fn pair_up(&mut self) {
        let bounds: Vec<u64> = self.totals.bounds().collect();
        for stable_us in &bounds {
            let least = *stable_us as f64 * self.tolerance * (1.0 - ROUNDING);
            let above = bounds.partition_point(|bound| (*bound as f64) < least);
            let same_units = |canary_us: &u64| {
                !self.lagged || known_after_us(*canary_us) == known_after_us(*stable_us)
            };
            let counterpart = bounds.get(above).copied().filter(|bound| bound > stable_us);
            let Some(canary_us) = counterpart.filter(same_units) else { continue };
            let Sums { canary, .. } = self.totals.at(canary_us);
            let Sums { stable, .. } = self.totals.at(*stable_us);
            match self.pairs.binary_search_by_key(stable_us, |pair| pair.stable_us) {
                Ok(index) if self.pairs[index].canary_us == canary_us => {}
                // A nearer counterpart than was known: what was gained stays gained.
                Ok(index) => {
                    let pair = &mut self.pairs[index];
                    (pair.canary_us, pair.tally.canary) = (canary_us, canary);
                }
                Err(index) => {
                    let pair = Pair {
                        stable_us: *stable_us,
                        canary_us,
                        worse: Restarted::new(),
                        better: Forgetful::new(self.ln_most),
                        tally: Tally::of(canary, stable),
                    };
                    self.pairs.insert(index, pair);
                }
            }
        }
    }

    pub fn worse(&self, schedule: &Schedule) -> f64 {
        let bets: f64 = self.pairs.iter().map(|pair| pair.worse.total()).sum();
        schedule.with_cash(self.cash + bets)
    }

    /// The pair in which the canary looks worst, for whoever asks why.
    pub fn worst(&self) -> Option<&Pair> {
        self.pairs.iter().max_by(|a, b| a.worse.total().total_cmp(&b.worse.total()))
    }

    /// The pair that speaks least for promotion, among those that have to; `None` when there are none.
    ///
    /// All have to reach the bound, so if one does not deserve it, the chance is that of this one alone.
    pub fn weakest(&self) -> Option<(&Pair, f64)> {
        self.pairs
            .iter()
            .filter(|pair| pair.demanded())
            .map(|pair| (pair, pair.better.value()))
            .min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Whether there is anything to compare with.
    pub fn compares(&self) -> bool {
        self.totals.bounds().any(|bound| self.totals.at(bound).stable.of > 0)
    }
}

impl Pair {
    fn take(&mut self, canary: Ratio, stable: Ratio, odds: &Odds<10>) {
        if let Some(table) = Table::new(canary, stable).filter(Table::speaks) {
            let under = table.under(odds);
            self.worse.multiply(&under.ln_ratios(0, 1));
            self.better.multiply(&under.ln_ratios(6, 7));
        }
        self.tally.add(canary, stable);
    }

    fn demanded(&self) -> bool {
        let (Some(canary), Some(stable)) = (share(self.tally.canary), share(self.tally.stable))
        else {
            return false;
        };
        canary.max(stable) >= DEMANDED.0 && canary.min(stable) <= DEMANDED.1
    }
}

fn share(counts: Ratio) -> Option<f64> {
    (counts.of > 0).then(|| counts.bad as f64 / counts.of as f64)
}
