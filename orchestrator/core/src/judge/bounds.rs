//! How many units were slower than each latency bound, over all windows so far.
//!
//! A window may leave out bounds that say nothing: below its first, all units were slower; above its last, none.

use std::collections::BTreeMap;

use super::hypergeometric::MOST_UNITS;
use super::tally::add;
use super::window::{Ratio, Slower};

/// One window's latencies of both sides, checked.
pub struct Latencies<'a> {
    canary: &'a [Slower],
    stable: &'a [Slower],
    /// Both sides have the same bounds, so that what is left out can be told.
    alike: bool,
}

impl<'a> Latencies<'a> {
    /// `None` when the counts cannot be.
    pub fn new(canary: &'a [Slower], stable: &'a [Slower]) -> Option<Self> {
        let possible = |side: &[Slower]| {
            side.windows(2).all(|w| w[0].bound_us < w[1].bound_us)
                && side.iter().all(|s| s.slower <= s.of && s.of <= MOST_UNITS)
        };
        let bounds = |side: &'a [Slower]| side.iter().map(|s| s.bound_us);
        (possible(canary) && possible(stable)).then(|| Self {
            canary,
            stable,
            alike: bounds(canary).eq(bounds(stable)),
        })
    }

    pub fn canary(&self, bound_us: u64) -> Option<Ratio> {
        self.at(self.canary, bound_us)
    }

    pub fn stable(&self, bound_us: u64) -> Option<Ratio> {
        self.at(self.stable, bound_us)
    }

    /// Bounds that the window names for both sides.
    pub fn bounds(&self) -> impl Iterator<Item = u64> + '_ {
        let named = |bound| self.stable.binary_search_by_key(&bound, |s| s.bound_us).is_ok();
        self.canary.iter().map(|s| s.bound_us).filter(move |bound| self.alike || named(*bound))
    }

    fn at(&self, side: &[Slower], bound_us: u64) -> Option<Ratio> {
        let index = match side.binary_search_by_key(&bound_us, |s| s.bound_us) {
            Ok(index) => return Some(Ratio { of: side[index].of, bad: side[index].slower }),
            Err(index) => index,
        };
        if !self.alike || side.is_empty() {
            return None;
        }
        let together = |i: usize| Ratio {
            of: self.canary[i].of + self.stable[i].of,
            bad: self.canary[i].slower + self.stable[i].slower,
        };
        let last = side.len() - 1;
        if index == 0 && together(0).bad > 0 {
            Some(Ratio { of: side[0].of, bad: side[0].of })
        } else if index > last && together(last).bad < together(last).of {
            Some(Ratio { of: side[last].of, bad: 0 })
        } else {
            None
        }
    }
}

/// Sums by bound, of both sides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    by_bound: BTreeMap<u64, Sums>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    pub canary: Ratio,
    pub stable: Ratio,
}

impl Totals {
    /// Adds a window; `true` when it has bounds that none before had.
    pub fn add(&mut self, window: &Latencies<'_>) -> bool {
        let before = self.by_bound.len();
        for bound in window.bounds() {
            if !self.by_bound.contains_key(&bound) {
                let earlier = self.earlier(bound);
                self.by_bound.insert(bound, earlier);
            }
        }
        for (bound, sums) in &mut self.by_bound {
            if let (Some(canary), Some(stable)) = (window.canary(*bound), window.stable(*bound)) {
                add(&mut sums.canary, canary);
                add(&mut sums.stable, stable);
            }
        }
        self.by_bound.len() > before
    }

    /// What a bound's sums would be had it been named from the start.
    fn earlier(&self, bound: u64) -> Sums {
        let all = |side: Ratio| Ratio { of: side.of, bad: side.of };
        let none = |side: Ratio| Ratio { of: side.of, bad: 0 };
        match (self.by_bound.range(..bound).next_back(), self.by_bound.range(bound..).next()) {
            (None, Some((_, next))) => Sums { canary: all(next.canary), stable: all(next.stable) },
            (Some((_, last)), None) => {
                Sums { canary: none(last.canary), stable: none(last.stable) }
            }
            _ => Sums::default(),
        }
    }

    pub fn at(&self, bound_us: u64) -> Sums {
        self.by_bound.get(&bound_us).copied().unwrap_or_default()
    }

    pub fn bounds(&self) -> impl Iterator<Item = u64> + '_ {
        self.by_bound.keys().copied()
    }

    /// The latency that a share `q` of one side's units does not exceed, in microseconds; interpolated
    /// between bounds on a logarithmic scale. `None` when the bounds do not reach it.
    pub fn quantile(&self, side: impl Fn(&Sums) -> Ratio, q: f64) -> Option<u64> {
        let mut below: Option<(f64, f64)> = None;
        for (bound, sums) in &self.by_bound {
            let counts = side(sums);
            if counts.of == 0 {
                continue;
            }
            let (at, share) = (*bound as f64, 1.0 - counts.bad as f64 / counts.of as f64);
            if share >= q {
                let Some((from, least)) = below.filter(|(from, _)| *from > 0.0) else {
                    return Some(*bound);
                };
                let part = if share > least { (q - least) / (share - least) } else { 1.0 };
                return Some((from * (at / from).powf(part.clamp(0.0, 1.0))).round() as u64);
            }
            below = Some((at, share));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(counts: &[(u64, u64, u64)]) -> Vec<Slower> {
        counts.iter().copied().map(Slower::from).collect()
    }

    #[test]
    fn what_a_window_leaves_out_is_all_below_and_none_above() {
        let (canary, stable) = (side(&[(20, 5, 2), (23, 5, 0)]), side(&[(20, 50, 9), (23, 50, 1)]));
        let window = Latencies::new(&canary, &stable).expect("possible");
        assert_eq!(window.stable(10), Some(Ratio { of: 50, bad: 50 }));
        assert_eq!(window.stable(20), Some(Ratio { of: 50, bad: 9 }));
        assert_eq!(window.canary(40), Some(Ratio { of: 5, bad: 0 }));
        // A bound between two others is not left out for saying nothing.
        assert_eq!(window.stable(21), None);
        // With a bound on one side only nothing is concluded from absence.
        let other = side(&[(20, 5, 2)]);
        let window = Latencies::new(&other, &stable).expect("possible");
        assert_eq!((window.canary(40), window.stable(10)), (None, None));
        assert_eq!(window.bounds().collect::<Vec<_>>(), [20]);
    }

    #[test]
    fn nonsense_is_refused() {
        for counts in [&[(20, 5, 6)][..], &[(20, 5, 2), (20, 5, 1)], &[(23, 5, 1), (20, 5, 1)]] {
            assert!(Latencies::new(&side(counts), &[]).is_none(), "{counts:?}");
        }
    }

    #[test]
    fn quantiles_lie_between_the_bounds_that_enclose_them() {
        let mut totals = Totals::default();
        let counts = side(&[(1_000, 100, 100), (2_000, 100, 50), (4_000, 100, 0)]);
        assert!(totals.add(&Latencies::new(&counts, &counts).expect("possible")));
        let canary = |sums: &Sums| sums.canary;
        assert_eq!(totals.quantile(canary, 0.5), Some(2_000));
        assert_eq!(totals.quantile(canary, 0.75), Some(2_828));
        // A bound that shows up later has its past.
        let counts = side(&[(2_000, 100, 50), (4_000, 100, 50), (8_000, 100, 0)]);
        assert!(totals.add(&Latencies::new(&counts, &counts).expect("possible")));
        assert_eq!(totals.at(8_000).stable, Ratio { of: 200, bad: 0 });
        assert_eq!(totals.at(1_000).stable, Ratio { of: 200, bad: 200 });
        assert_eq!(totals.quantile(canary, 0.99).map(|us| us > 4_000), Some(true));
        assert_eq!(Totals::default().quantile(canary, 0.5), None);
    }
}
