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
//!   come back. A copy that has not started holds its 1, a constant, which is an e-process. So
//!   with `n` planned copies, whenever they start, `((n - started) + sum of the started)/n` starts
//!   with 1 and has the property. All copies of one alternative are multiplied by the same
//!   factors, so their sum is all that has to be kept.

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

    /// Puts in `stake`, in equal parts.
    pub fn start(&mut self, stake: f64) {
        let part = (stake / K as f64).ln();
        for ln in &mut self.ln {
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

/// When copies start: the first with the first window, the others in equal distances.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    every_ms: u64,
    planned: u32,
    first_ms: Option<u64>,
    started: u32,
}

impl Schedule {
    pub fn new(every_ms: u64, planned: u32) -> Self {
        Self { every_ms: every_ms.max(1), planned: planned.max(1), first_ms: None, started: 0 }
    }

    /// How many copies start with the window that ends then.
    pub fn due(&mut self, end_ms: u64) -> u32 {
        let first = *self.first_ms.get_or_insert(end_ms);
        let passed = end_ms.saturating_sub(first) / self.every_ms;
        let until = u32::try_from(passed).unwrap_or(u32::MAX).saturating_add(1).min(self.planned);
        let due = until.saturating_sub(self.started);
        self.started += due;
        due
    }

    /// The mean over all planned copies, from the sum over those that have started.
    pub fn mean(&self, started: f64) -> f64 {
        (f64::from(self.planned - self.started) + started) / f64::from(self.planned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_start_in_their_turn_and_hold_one_until_then() {
        let mut schedule = Schedule::new(120_000, 3);
        let mut bets = Restarted::<2>::new();
        bets.start(f64::from(schedule.due(2_000)));
        assert_eq!(schedule.mean(bets.total()), 1.0);
        // Halved, with two copies still to come.
        bets.multiply(&[0.5_f64.ln(); 2]);
        assert!((schedule.mean(bets.total()) - 2.5 / 3.0).abs() < 1e-12);
        assert_eq!(schedule.due(121_999), 0);
        bets.start(f64::from(schedule.due(122_000)));
        assert!((schedule.mean(bets.total()) - 2.5 / 3.0).abs() < 1e-12);
        bets.multiply(&[2.0_f64.ln(); 2]);
        assert!((schedule.mean(bets.total()) - (1.0 + 2.0 + 1.0) / 3.0).abs() < 1e-12);
        // A clock that jumps starts what is planned, and no more.
        assert_eq!(schedule.due(u64::MAX), 1);
        assert_eq!(schedule.due(u64::MAX), 0);
    }

    #[test]
    fn a_lost_bet_comes_back_with_the_next_copy_only() {
        let mut bets = Restarted::<1>::new();
        bets.start(0.0);
        assert_eq!(bets.total(), 0.0);
        bets.start(1.0);
        bets.multiply(&[-2_000.0]);
        bets.multiply(&[1_900.0]);
        assert!(bets.total() < 1e-40);
        bets.start(1.0);
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
