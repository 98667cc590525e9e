//! What a figure comes to, and the few statistics that all of them need.

use serde::Serialize;

/// A measured figure, as `make prove` keeps it.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    pub title: String,
    /// What has to be shown, with the numbers.
    pub target: String,
    pub pass: bool,
    pub result: serde_json::Value,
}

/// A share of runs.
#[derive(Debug, Clone, Serialize)]
pub struct Share {
    pub runs: usize,
    pub found: usize,
    pub share: f64,
    /// 95 % interval of what the share is in the long run (Wilson).
    pub between: (f64, f64),
}

impl Share {
    pub fn new(found: usize, runs: usize) -> Self {
        let (n, k, z) = (runs.max(1) as f64, found as f64, 1.96);
        let share = k / n;
        let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half =
            z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
        Self { runs, found, share, between: ((middle - half).max(0.0), (middle + half).min(1.0)) }
    }
}

/// Times in seconds; those which never came are infinite, and said as null.
#[derive(Debug, Clone, Serialize)]
pub struct Times {
    pub runs: usize,
    pub never: usize,
    pub median: Option<f64>,
    pub p95: Option<f64>,
    pub longest: Option<f64>,
}

impl Times {
    pub fn new(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let at = |q: f64| {
            let place = (q * seconds.len() as f64).ceil() as usize;
            seconds.get(place.max(1) - 1).copied().filter(|s| s.is_finite())
        };
        Self {
            runs: seconds.len(),
            never: seconds.iter().filter(|s| s.is_infinite()).count(),
            median: at(0.5),
            p95: at(0.95),
            longest: at(1.0),
        }
    }

    pub fn within(&self, median: f64, p95: f64) -> bool {
        self.median.is_some_and(|s| s <= median) && self.p95.is_some_and(|s| s <= p95)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let times = Times::new(vec![f64::INFINITY, 1.0, 3.0, 2.0]);
        assert_eq!((times.median, times.p95, times.never), (Some(2.0), None, 1));
        assert!(times.within(2.0, f64::INFINITY) == times.p95.is_some());
        assert_eq!(Times::new(Vec::new()).median, None);
    }

    #[test]
    fn a_share_that_was_never_seen_may_still_be_there() {
        let share = Share::new(0, 100);
        assert!(share.share == 0.0 && (0.03..0.04).contains(&share.between.1), "{share:?}");
    }
}
