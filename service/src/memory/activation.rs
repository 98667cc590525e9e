//! How present a memory is: decay, what an access adds, and who leaves a full tier first.
//!
//! Computed from what was stored at the last access; nothing sweeps through the memories to make
//! them older.

use super::{Moment, Tier};

/// What an access adds.
const BOOST: f64 = 0.1;

/// What is stored of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Activation {
    /// Where it lives.
    pub tier: Tier,
    /// 0 to 1.
    pub importance: f64,
    /// At `strength_at`.
    pub strength: f64,
    /// Creation or the last access.
    pub strength_at: Moment,
    /// Accesses since creation.
    pub access_count: i64,
}

impl Activation {
    /// The strength that is left.
    pub fn strength(&self, now: Moment) -> f64 {
        let age = now.since(self.strength_at) as f64;
        self.strength * (-age / self.tier.half_life(self.importance)).exp2()
    }

    /// After `times` accesses, the last of them at `at`.
    pub fn accessed(&self, times: i64, at: Moment) -> Self {
        Self {
            strength: (self.strength(at) + BOOST * times as f64).min(1.0),
            strength_at: at.max(self.strength_at),
            access_count: self.access_count + times,
            ..*self
        }
    }

    /// The higher, the longer it stays in a full tier.
    pub fn worth(&self, now: Moment) -> f64 {
        let life = self.tier.time_to_live().unwrap_or(i64::MAX) as f64;
        let recency = (-(now.since(self.strength_at) as f64) / life).exp2();
        0.5 * self.importance + 0.3 * self.strength(now) + 0.2 * recency
    }

    /// Whether it has earned the next tier.
    pub fn is_worth_keeping(&self, pinned: bool) -> bool {
        pinned || (self.access_count >= 3 && self.importance >= 0.6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn new(tier: Tier, importance: f64) -> Activation {
        Activation { tier, importance, strength: 1.0, strength_at: Moment(0), access_count: 0 }
    }

    #[test]
    fn half_is_left_after_a_half_life() {
        let short = new(Tier::ShortTerm, 0.5);
        assert!((short.strength(Moment(6 * HOUR)) - 0.5).abs() < 1e-9);
        let long = new(Tier::LongTerm, 0.5);
        assert!((long.strength(Moment(135 * 24 * HOUR)) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn an_access_adds_a_tenth_and_no_more_than_one() {
        let short = new(Tier::ShortTerm, 0.5);
        let again = short.accessed(1, Moment(6 * HOUR));
        assert!((again.strength - 0.6).abs() < 1e-9);
        assert_eq!((again.access_count, again.strength_at), (1, Moment(6 * HOUR)));
        assert_eq!(short.accessed(50, Moment(0)).strength, 1.0);
    }

    #[test]
    fn importance_outweighs_what_was_seen_a_moment_ago() {
        let old = new(Tier::Working, 0.9);
        let fresh = Activation { strength_at: Moment(HOUR / 3), ..new(Tier::Working, 0.1) };
        assert!(old.worth(Moment(HOUR / 3)) > fresh.worth(Moment(HOUR / 3)));
        let equal = Activation { importance: 0.9, ..fresh };
        assert!(equal.worth(Moment(HOUR / 3)) > old.worth(Moment(HOUR / 3)));
    }
}
