//! Which instants are sampled.
//!
//! They are whole multiples of the interval, so that whoever asks again, or takes over, asks for
//! the same ones.

/// What a server is asked at most to look back.
const MOST_BACK_MS: u64 = 3_600_000;
/// Prometheus' own default of `scrape_timeout`: a scrape stands at the time at which it began, and
/// may come in that much later.
const LONGEST_SCRAPE_MS: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    pub interval_ms: u64,
}

/// Ends of windows, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub first_ms: u64,
    pub last_ms: u64,
    pub step_ms: u64,
}

impl Grid {
    /// The ends of the windows after `after_ms` whose counts are final at `now_ms`.
    pub fn ends(self, after_ms: u64, now_ms: u64) -> Option<Ends> {
        let step_ms = self.interval_ms;
        let settled = now_ms.saturating_sub(step_ms.min(LONGEST_SCRAPE_MS));
        let last_ms = settled - settled % step_ms;
        let oldest = now_ms.saturating_sub(MOST_BACK_MS);
        let from = after_ms.max(oldest);
        let first_ms = from - from % step_ms + step_ms;
        (first_ms <= last_ms).then_some(Ends { first_ms, last_ms, step_ms })
    }
}

impl Ends {
    pub fn each(self) -> impl Iterator<Item = u64> {
        (self.first_ms..=self.last_ms).step_by(self.step_ms as usize)
    }

    /// When the window with this end began.
    pub fn start_of(self, end_ms: u64) -> u64 {
        end_ms.saturating_sub(self.step_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { interval_ms: 5_000 };

    #[test]
    fn ends_do_not_depend_on_when_they_are_asked_for() {
        let all: Vec<u64> = GRID.ends(99_999, 130_000).map(|e| e.each().collect()).expect("some");
        assert_eq!(all, [100_000, 105_000, 110_000, 115_000, 120_000, 125_000]);
        let later: Vec<u64> = GRID.ends(112_345, 134_999).expect("some").each().collect();
        assert_eq!(later, [115_000, 120_000, 125_000]);
    }

    #[test]
    fn a_window_waits_for_scrapes_that_are_under_way() {
        assert_eq!(GRID.ends(120_000, 129_999), None);
        assert!(GRID.ends(120_000, 130_000).is_some());
        let slow = Grid { interval_ms: 60_000 };
        assert_eq!(slow.ends(60_000, 129_999), None);
        assert!(slow.ends(60_000, 130_000).is_some());
    }

    #[test]
    fn nothing_is_fetched_from_long_ago() {
        let now = 100_000_000;
        assert_eq!(GRID.ends(0, now).map(|e| e.first_ms), Some(now - MOST_BACK_MS + 5_000));
        assert_eq!(GRID.ends(now + 1, now), None);
    }
}
