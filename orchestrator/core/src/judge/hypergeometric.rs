//! Two proportions of one window, compared without knowing the rate that both share.
//!
//! Given how many units each side had and how many were bad together, the number of bad ones on the
//! canary's side has a (noncentral) hypergeometric law that depends on the odds ratio alone. So
//! neither an incident that hits both sides nor a weight that changes between windows biases it.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use super::window::Ratio;

/// More units than any window holds. Beyond that the counts are nonsense, and sums lose digits.
pub const MOST_UNITS: u64 = 1_000_000_000;

/// Terms below this share of the sum so far are noise in its last digit.
const NEGLIGIBLE: f64 = 1e-17;

/// Sums whose powers stay below this many binary digits cannot overflow, and are summed whole.
const MOST_BITS: f64 = 900.0;

/// A window's counts of one proportion, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table {
    canary: f64,
    stable: f64,
    canary_bad: f64,
    bad: f64,
}

impl Table {
    /// `None` when the counts cannot be.
    pub fn new(canary: Ratio, stable: Ratio) -> Option<Self> {
        let possible = |side: Ratio| side.bad <= side.of && side.of <= MOST_UNITS;
        (possible(canary) && possible(stable)).then(|| Self {
            canary: canary.of as f64,
            stable: stable.of as f64,
            canary_bad: canary.bad as f64,
            bad: (canary.bad + stable.bad) as f64,
        })
    }

    /// Whether it can speak for anything: both sides had units, and not all fared alike.
    pub fn speaks(&self) -> bool {
        self.canary > 0.0
            && self.stable > 0.0
            && self.bad > 0.0
            && self.bad < self.canary + self.stable
    }

    /// What the likelihood of these counts is at each of the odds ratios, as far as they differ.
    pub fn under<const K: usize>(&self, odds: &Odds<K>) -> Under<K> {
        let lowest = (self.bad - self.stable).max(0.0);
        let highest = self.bad.min(self.canary);
        let ln = if (highest - lowest) * odds.bits < MOST_BITS {
            // Relative to the largest term at odds ratio 1.
            let top = self.mode(1.0).clamp(lowest, highest);
            let mut sums = [1.0; K];
            self.outwards(top, highest, 1.0, &odds.psi, &mut sums);
            self.outwards(top, lowest, -1.0, &odds.inverse, &mut sums);
            std::array::from_fn(|k| (self.canary_bad - top) * odds.ln[k] - sums[k].ln())
        } else {
            std::array::from_fn(|k| self.canary_bad * odds.ln[k] - self.ln_moment(odds.psi[k]))
        };
        Under { ln }
    }

    /// Adds the terms beyond `from` up to and including `to`, in units of that at `from`.
    fn outwards<const K: usize>(
        &self,
        from: f64,
        to: f64,
        step: f64,
        factors: &[f64; K],
        sums: &mut [f64; K],
    ) {
        let Self { canary, stable, bad, .. } = *self;
        let mut powers = [1.0; K];
        let (mut weight, mut j) = (1.0, from);
        while j != to {
            let low = if step > 0.0 { j } else { j - 1.0 };
            let (up, down) =
                ((bad - low) * (canary - low), (low + 1.0) * (stable - bad + low + 1.0));
            weight *= if step > 0.0 { up / down } else { down / up };
            for k in 0..K {
                powers[k] *= factors[k];
                sums[k] += weight * powers[k];
            }
            j += step;
        }
    }

    /// `ln sum over j of C(canary, j) C(stable, bad-j) psi^j`, less what is the same for all `psi`.
    fn ln_moment(&self, psi: f64) -> f64 {
        let Self { canary, stable, bad, .. } = *self;
        let lowest = (bad - stable).max(0.0);
        let highest = bad.min(canary);
        // Summed outwards from the largest term, and relative to it, so that nothing overflows.
        let top = self.mode(psi).clamp(lowest, highest);
        let ratio =
            |j: f64| psi * (bad - j) * (canary - j) / ((j + 1.0) * (stable - bad + j + 1.0));
        let mut sum = 1.0;
        let (mut term, mut j) = (1.0, top);
        while j < highest && term > NEGLIGIBLE * sum {
            term *= ratio(j);
            sum += term;
            j += 1.0;
        }
        (term, j) = (1.0, top);
        while j > lowest && term > NEGLIGIBLE * sum {
            j -= 1.0;
            term /= ratio(j);
            sum += term;
        }
        top * psi.ln() + sum.ln()
            - ln_factorial(top)
            - ln_factorial(canary - top)
            - ln_factorial(bad - top)
            - ln_factorial(stable - bad + top)
    }

    /// Where the terms of [`Self::ln_moment`] are largest: the smaller root of "a term is no smaller
    /// than the one before it".
    fn mode(&self, psi: f64) -> f64 {
        let a = psi - 1.0;
        let b = psi * (self.bad + self.canary + 2.0) + self.stable - self.bad;
        let c = psi * (self.bad + 1.0) * (self.canary + 1.0);
        (2.0 * c / (b + (b * b - 4.0 * a * c).max(0.0).sqrt())).floor()
    }
}

/// Odds ratios, and what is computed from them once.
#[derive(Debug, Clone, PartialEq)]
pub struct Odds<const K: usize> {
    psi: [f64; K],
    inverse: [f64; K],
    ln: [f64; K],
    /// Binary digits by which powers of them grow.
    bits: f64,
}

impl<const K: usize> Odds<K> {
    pub fn new(psi: [f64; K]) -> Self {
        let bits = psi.iter().map(|psi| psi.log2().abs()).fold(1.0, f64::max);
        Self { psi, inverse: psi.map(f64::recip), ln: psi.map(f64::ln), bits }
    }
}

/// Logarithms of likelihoods.
pub struct Under<const K: usize> {
    ln: [f64; K],
}

impl<const K: usize> Under<K> {
    /// The logarithms of the likelihood ratios of alternatives against a null, all given by their places:
    ///
    /// `(psi/null)^s * M(null)/M(psi)`, with `M(psi) = sum over j of HG(j) * psi^j`.
    ///
    /// Under odds ratio `null` its mean is 1: `HG(s) null^s / M(null)` is the law of `s`, and the sum over `s`
    /// of that times the ratio is `M(psi)/M(psi)`. The ratio rises in `s` for `psi > null` and the law is
    /// stochastically rising in the odds ratio, so for a smaller true odds ratio the mean is at most
    /// 1; and the other way round for `psi < null`.
    pub fn ln_ratios<const N: usize>(&self, null: usize, first: usize) -> [f64; N] {
        std::array::from_fn(|n| self.ln[first + n] - self.ln[null])
    }
}

const TABLED: usize = 1024;

static LN_FACTORIALS: LazyLock<[f64; TABLED]> = LazyLock::new(|| {
    let mut table = [0.0; TABLED];
    for n in 1..TABLED {
        table[n] = table[n - 1] + (n as f64).ln();
    }
    table
});

/// `ln n!` for a whole number: tabled, then Stirling's series, whose next term is below 1e-18 there.
fn ln_factorial(n: f64) -> f64 {
    match LN_FACTORIALS.get(n as usize) {
        Some(value) => *value,
        None => {
            let square = n * n;
            n * n.ln() - n + 0.5 * (TAU * n).ln() + (1.0 - 1.0 / (30.0 * square)) / (12.0 * n)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(canary: (u64, u64), stable: (u64, u64)) -> Table {
        let side = |(bad, of)| Ratio { of, bad };
        Table::new(side(canary), side(stable)).expect("possible counts")
    }

    fn choose(n: u64, k: u64) -> f64 {
        (0..k).map(|i| (n - i) as f64 / (k - i) as f64).product()
    }

    /// The law of the canary's bad units at an odds ratio, by its definition.
    fn law(canary: u64, stable: u64, bad: u64, psi: f64) -> Vec<(u64, f64)> {
        let terms: Vec<(u64, f64)> = (bad.saturating_sub(stable)..=bad.min(canary))
            .map(|j| (j, choose(canary, j) * choose(stable, bad - j) * psi.powi(j as i32)))
            .collect();
        let sum: f64 = terms.iter().map(|(_, w)| w).sum();
        terms.into_iter().map(|(j, w)| (j, w / sum)).collect()
    }

    fn against(t: &Table, null: f64, psi: f64) -> f64 {
        let [ln] = t.under(&Odds::new([null, psi])).ln_ratios(0, 1);
        // The way for large sums gives the same.
        let s = t.canary_bad;
        let large = s * (psi / null).ln() + t.ln_moment(null) - t.ln_moment(psi);
        assert!((ln - large).abs() < 1e-6 * (1.0 + ln.abs()), "{t:?}: {ln} {large}");
        ln
    }

    fn mean_ratio(margins: (u64, u64, u64), truth: f64, null: f64, psi: f64) -> f64 {
        let (canary, stable, bad) = margins;
        law(canary, stable, bad, truth)
            .into_iter()
            .map(|(s, p)| {
                let t = table((s, canary), (bad - s, stable));
                p * against(&t, null, psi).exp()
            })
            .sum()
    }

    #[test]
    fn no_odds_ratio_of_the_null_gains_on_average() {
        for canary in 1..=7 {
            for stable in 1..=12 {
                for bad in 1..canary + stable {
                    let margins = (canary, stable, bad);
                    for psi in [4.0, 8.0, 64.0] {
                        let at_null = mean_ratio(margins, 2.0, 2.0, psi);
                        assert!((at_null - 1.0).abs() < 1e-9, "{margins:?} {psi}: {at_null}");
                        for truth in [0.2, 1.0, 1.7] {
                            let mean = mean_ratio(margins, truth, 2.0, psi);
                            assert!(mean <= 1.0 + 1e-9, "{margins:?} {psi} {truth}: {mean}");
                        }
                    }
                    // And mirrored, as for promotion.
                    for psi in [0.5, 1.0, 1.5] {
                        let at_null = mean_ratio(margins, 3.0, 3.0, psi);
                        assert!((at_null - 1.0).abs() < 1e-9, "{margins:?} {psi}: {at_null}");
                        let mean = mean_ratio(margins, 5.0, 3.0, psi);
                        assert!(mean <= 1.0 + 1e-9, "{margins:?} {psi}: {mean}");
                    }
                }
            }
        }
    }

    #[test]
    fn sides_that_are_empty_or_fare_alike_say_nothing() {
        for (canary, stable) in
            [((0, 0), (3, 9)), ((3, 9), (0, 0)), ((0, 5), (0, 50)), ((5, 5), (50, 50))]
        {
            let t = table(canary, stable);
            assert!(!t.speaks(), "{t:?}");
            for psi in [4.0, 64.0] {
                let ln = against(&t, 2.0, psi);
                assert!(ln.abs() < 1e-9, "{t:?}: {ln}");
            }
        }
        assert!(Table::new(Ratio { of: 1, bad: 2 }, Ratio::default()).is_none());
        assert!(Table::new(Ratio { of: u64::MAX, bad: 2 }, Ratio::default()).is_none());
    }

    #[test]
    fn large_counts_keep_their_digits() {
        let binomial_limit = |canary: f64, stable: f64, bad: f64, s: f64, null: f64, psi: f64| {
            let q = |psi: f64| psi * canary / (psi * canary + stable);
            s * (q(psi) / q(null)).ln() + (bad - s) * ((1.0 - q(psi)) / (1.0 - q(null))).ln()
        };
        let t = table((40, 100_000_000), (60, 900_000_000));
        let exact = against(&t, 2.0, 8.0);
        let limit = binomial_limit(1e8, 9e8, 100.0, 40.0, 2.0, 8.0);
        assert!((exact - limit).abs() < 1e-3, "{exact} {limit}");
        // A busy edge, and half of the units: the sum has thousands of terms.
        let t = table((500_000, 1_000_000), (4_500_000, 9_000_000));
        let (mild, strong) = (against(&t, 1.0, 1.1), against(&t, 1.0, 4.0));
        assert!(mild < -100.0 && mild.is_finite(), "{mild}");
        assert!(strong < -100_000.0 && strong.is_finite(), "{strong}");
    }

    #[test]
    fn the_series_continues_the_table() {
        let last = (TABLED - 1) as f64;
        let next = LN_FACTORIALS[TABLED - 1] + (last + 1.0).ln();
        assert!((ln_factorial(last + 1.0) - next).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_definition(
            canary in 1u64..60, stable in 1u64..200, share in 0.0f64..1.0, psi in 0.3f64..70.0,
        ) {
            let bad = ((canary + stable) as f64 * share) as u64;
            for (s, _) in law(canary, stable, bad, 1.0) {
                let t = table((s, canary), (bad - s, stable));
                let p = |psi: f64| {
                    law(canary, stable, bad, psi).iter().find(|(j, _)| *j == s).expect("in it").1
                };
                let (found, expected) = (against(&t, 2.0, psi), (p(psi) / p(2.0)).ln());
                if expected.is_finite() {
                    prop_assert!((found - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{found} {expected}");
                }
            }
        }
    }
}
