//! Sums of both sides, over all windows and over the last minutes.

use super::window::Ratio;

/// One proportion's counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Since the rollout began.
    pub canary: Ratio,
    pub stable: Ratio,
    /// Since the last mark, and between the last two.
    since: [Ratio; 2],
    before: [Ratio; 2],
}

impl Tally {
    /// With a past that is not recent.
    pub fn of(canary: Ratio, stable: Ratio) -> Self {
        Self { canary, stable, ..Self::default() }
    }

    pub fn add(&mut self, canary: Ratio, stable: Ratio) {
        add(&mut self.canary, canary);
        add(&mut self.stable, stable);
        add(&mut self.since[0], canary);
        add(&mut self.since[1], stable);
    }

    /// What came before the last mark but one is not recent any more.
    pub fn mark(&mut self) {
        self.before = std::mem::take(&mut self.since);
    }

    /// The canary's and the stable side's counts since the last mark but one.
    pub fn recent(&self) -> [Ratio; 2] {
        let mut recent = self.before;
        add(&mut recent[0], self.since[0]);
        add(&mut recent[1], self.since[1]);
        recent
    }
}

pub fn add(sum: &mut Ratio, counts: Ratio) {
    sum.of = sum.of.saturating_add(counts.of);
    sum.bad = sum.bad.saturating_add(counts.bad);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_is_what_came_after_the_last_mark_but_one() {
        let of = |bad, of| Ratio { of, bad };
        let mut tally = Tally::default();
        for bad in 1..=3 {
            tally.mark();
            tally.add(of(bad, 10), of(0, 90));
        }
        assert_eq!(tally.canary, of(6, 30));
        assert_eq!(tally.recent(), [of(5, 20), of(0, 180)]);
    }
}
