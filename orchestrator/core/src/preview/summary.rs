//! What many runs come to: shares with their uncertainty, and times of which some never come.
//!
//! Knows numbers only, and nothing of rollouts.

use serde::Serialize;

/// `hits` of `of` runs, with the 95 % interval of Clopper and Pearson.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    pub hits: usize,
    pub of: usize,
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

impl Share {
    pub fn new(hits: usize, of: usize) -> Self {
        let share = if of == 0 { 0.0 } else { hits as f64 / of as f64 };
        let low = if hits == 0 { 0.0 } else { bisect(|p| at_least(hits, of, p) < 0.025) };
        let high = if hits >= of { 1.0 } else { bisect(|p| at_most(hits, of, p) > 0.025) };
        Self { hits, of, share, low, high }
    }
}

/// The largest probability that still satisfies a condition which holds for small ones.
fn bisect(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

fn at_least(hits: usize, of: usize, p: f64) -> f64 {
    1.0 - at_most(hits - 1, of, p)
}

/// P(X <= hits) of a binomial; in logarithms, since (1 - p)^of may be too small to be written.
fn at_most(hits: usize, of: usize, p: f64) -> f64 {
    if p <= 0.0 {
        return 1.0;
    }
    let mut log_term = of as f64 * (1.0 - p).ln();
    let mut sum = log_term.exp();
    for k in 1..=hits {
        log_term += ((of - k + 1) as f64 / k as f64).ln() + (p / (1.0 - p)).ln();
        sum += log_term.exp();
    }
    sum
}

/// Median and 95th percentile over all runs. Where it never happened in so many runs that the
/// quantile is one of those, there is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    pub median: Option<f64>,
    pub p95: Option<f64>,
}

impl Quantiles {
    /// `values`: of the runs in which it happened; `of`: all runs.
    pub fn new(values: &[f64], of: usize) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        // The smallest value that at least this share of the runs does not exceed.
        let at = |share: f64| {
            let rank = (share * of as f64).ceil().max(1.0) as usize;
            sorted.get(rank - 1).copied()
        };
        Self { median: at(0.5), p95: at(0.95) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_the_exact_one() {
        // R: binom.test(3, 100)$conf.int
        let share = Share::new(3, 100);
        assert!((share.low - 0.00623).abs() < 1e-5 && (share.high - 0.08518).abs() < 1e-5);
        // 1 - 0.025^(1/300)
        let none = Share::new(0, 300);
        assert!(none.low == 0.0 && (none.high - 0.01222).abs() < 1e-5, "{none:?}");
        let all = Share::new(300, 300);
        assert!(all.high == 1.0 && (all.low - 0.98778).abs() < 1e-5, "{all:?}");
        let many = Share::new(5000, 10_000);
        assert!((many.low - 0.490_15).abs() < 1e-4 && (many.high - 0.509_85).abs() < 1e-4);
    }

    #[test]
    fn a_time_that_never_came_in_half_of_the_runs_has_no_median() {
        let times: Vec<f64> = (1..=60).map(f64::from).collect();
        assert_eq!(Quantiles::new(&times, 60), Quantiles { median: Some(30.0), p95: Some(57.0) });
        assert_eq!(Quantiles::new(&times, 100), Quantiles { median: Some(50.0), p95: None });
        assert_eq!(Quantiles::new(&times, 200), Quantiles { median: None, p95: None });
        assert_eq!(Quantiles::new(&[], 0), Quantiles { median: None, p95: None });
    }
}
