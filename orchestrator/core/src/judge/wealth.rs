//! What bets have come to: the evidence that the judge holds.
//!
//! A bet against a hypothesis starts with 1 and is multiplied, window by window, by a factor whose mean is at
//! most 1 while the hypothesis holds (an e-process). By Ville's inequality the chance that it ever
//! reaches `1/a` is then at most `a`, however often one looks.
//!
//! A weighted mean of such bets is one again. That is used twice:
//!
//! - over alternatives, as nobody knows beforehand how much worse a release is;
//! - over *copies* that start later. While all is well a bet loses, and after ten minutes it has a long way to
//!   come back. So a stake of 1 is divided beforehand, and each copy gets its part when its time
//!   comes; until then that part is cash, a constant, which is an e-process. The sum of cash and
//!   bets therefore starts with 1 and has the property, whatever the times at which copies start.
//!   All copies of one alternative are multiplied by the same factors, so their sum is all that
//!   has to be kept.

/// Beyond this nobody compares, and sums of exponentials would overflow.
const LN_MOST: f64 = 600.0;

/// Bets on `K` alternatives, restarted.
#[derive(Debug, Clone, PartialEq)]
pub struct Restarted<const K: usize> {
    /// By alternative, the logarithm of the sum over copies.
    ln: [f64; K],
}

impl<const K: usize> Restarted<K> {
    pub fn new() -> Self {
        Self { ln: [f64::NEG_INFINITY; K] }
    }

    /// Puts in `stake`, in parts as the (positive) weights say.
    pub fn start(&mut self, stake: f64, weights: &[f64; K]) {
        let whole: f64 = weights.iter().sum();
        for (ln, weight) in self.ln.iter_mut().zip(weights) {
            let part = (stake * weight / whole).ln();
            let (low, high) = if *ln < part { (*ln, part) } else { (part, *ln) };
            if high > f64::NEG_INFINITY {
                *ln = high + (low - high).exp().ln_1p();
            }
        }
    }

    pub fn multiply(&mut self, ln_factors: &[f64; K]) {
        for (ln, factor) in self.ln.iter_mut().zip(ln_factors) {
            *ln = (*ln + factor).min(LN_MOST);
        }
    }

    pub fn total(&self) -> f64 {
        self.ln.iter().map(|ln| ln.exp()).sum()
    }
}

/// A bet that a release is good, on `K` alternatives.
///
/// It holds back no more than a few times what is asked for: evidence from an hour ago does not outweigh what a
/// release does now. Cutting wealth only ever lowers it, so the promise stays.
#[derive(Debug, Clone, PartialEq)]
pub struct Forgetful<const K: usize> {
    ln: [f64; K],
    ln_most: f64,
}

impl<const K: usize> Forgetful<K> {
    pub fn new(ln_most: f64) -> Self {
        Self { ln: [0.0; K], ln_most }
    }

    pub fn multiply(&mut self, ln_factors: &[f64; K]) {
        for (ln, factor) in self.ln.iter_mut().zip(ln_factors) {
            *ln = (*ln + factor).min(self.ln_most);
        }
    }

    pub fn value(&self) -> f64 {
        self.ln.iter().map(|ln| ln.exp()).sum::<f64>() / K as f64
    }
}

/// The part of the stake that is placed within the horizon. The rest follows, thinner, for as long again as
/// [`AFTERWARDS`] says, so that a fault that comes late is seen somewhat later, not much later.
pub const WITHIN_HORIZON: f64 = 0.95;
/// As a multiple of the horizon.
const AFTERWARDS: u32 = 3;

/// When copies start, and with what: the first with the first window, the others in equal distances.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    every_ms: u64,
    /// Copies within the horizon.
    planned: u32,
    first_ms: Option<u64>,
    started: u32,
    cash: f64,
}

impl Schedule {
    pub fn new(every_ms: u64, planned: u32) -> Self {
        let planned = planned.max(1);
        Self { every_ms: every_ms.max(1), planned, first_ms: None, started: 0, cash: 1.0 }
    }

    /// The stake of the copies that start with the window that ends then.
    pub fn due(&mut self, end_ms: u64) -> f64 {
        let first = *self.first_ms.get_or_insert(end_ms);
        let passed = end_ms.saturating_sub(first) / self.every_ms;
        let last = self.planned.saturating_mul(1 + AFTERWARDS);
        let until = u32::try_from(passed).unwrap_or(u32::MAX).saturating_add(1).min(last);
        let placed = |copies: u32| {
            let (within, after) = (copies.min(self.planned), copies.saturating_sub(self.planned));
            let planned = f64::from(self.planned);
            WITHIN_HORIZON * f64::from(within) / planned
                + (1.0 - WITHIN_HORIZON) * f64::from(after) / (planned * f64::from(AFTERWARDS))
        };
        let stake = placed(until) - placed(self.started.min(until));
        self.started = self.started.max(until);
        self.cash = 1.0 - placed(self.started);
        stake
    }

    /// The evidence, from what the bets have come to.
    pub fn with_cash(&self, bets: f64) -> f64 {
        self.cash + bets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_start_in_their_turn_and_hold_cash_until_then() {
        let mut schedule = Schedule::new(120_000, 2);
        let mut bets = Restarted::<2>::new();
        let even = [1.0, 1.0];
        bets.start(schedule.due(2_000), &even);
        let part = WITHIN_HORIZON / 2.0;
        assert!((schedule.with_cash(bets.total()) - 1.0).abs() < 1e-12);
        bets.multiply(&[0.5_f64.ln(); 2]);
        assert!((schedule.with_cash(bets.total()) - (1.0 - 0.5 * part)).abs() < 1e-12);
        assert_eq!(schedule.due(121_999), 0.0);
        bets.start(schedule.due(122_000), &even);
        assert!((schedule.with_cash(bets.total()) - (1.0 - 0.5 * part)).abs() < 1e-12);
        bets.multiply(&[2.0_f64.ln(); 2]);
        assert!((schedule.with_cash(bets.total()) - (1.0 + part)).abs() < 1e-12);
        // A clock that jumps places what is left, and no more.
        assert!((schedule.due(u64::MAX) - (1.0 - WITHIN_HORIZON)).abs() < 1e-12);
        assert_eq!(schedule.due(u64::MAX), 0.0);
        assert!(schedule.cash.abs() < 1e-12);
    }

    #[test]
    fn the_whole_stake_is_placed_once_and_most_of_it_within_the_horizon() {
        let mut schedule = Schedule::new(30_000, 30);
        let mut placed = 0.0;
        for look in 1..=2_000_u64 {
            placed += schedule.due(look * 2_000);
            assert!((placed + schedule.cash - 1.0).abs() < 1e-9, "{look}: {placed}");
            if look == 450 {
                assert!((placed - WITHIN_HORIZON).abs() < 1e-9, "{placed}");
            }
        }
        assert!((placed - 1.0).abs() < 1e-9, "{placed}");
    }

    #[test]
    fn a_lost_bet_comes_back_with_the_next_copy_only() {
        let mut bets = Restarted::<1>::new();
        bets.start(0.0, &[1.0]);
        assert_eq!(bets.total(), 0.0);
        bets.start(1.0, &[1.0]);
        bets.multiply(&[-2_000.0]);
        bets.multiply(&[1_900.0]);
        assert!(bets.total() < 1e-40);
        bets.start(1.0, &[1.0]);
        assert!((bets.total() - 1.0).abs() < 1e-12);
        bets.multiply(&[1e9]);
        assert!(bets.total().is_finite());
    }

    #[test]
    fn good_times_do_not_outweigh_what_happens_now() {
        let mut bets = Forgetful::<1>::new(200.0_f64.ln());
        bets.multiply(&[1_000.0]);
        assert!((bets.value() - 200.0).abs() < 1e-9);
        bets.multiply(&[-200.0_f64.ln()]);
        assert!((bets.value() - 1.0).abs() < 1e-9);
    }
}
