//! One side's pods: how many requests they get in a window, how many fail, how long they take.

use rand_distr::{Binomial, Distribution, Poisson, StandardNormal};
use rand_pcg::Pcg64Mcg;

use crate::judge::Counts;

/// The bound with number `k` is `1.15^k` milliseconds, a step of 15 % from one to the next.
pub const STEP: f64 = 1.15;
/// The last one is just over a minute.
pub const BOUNDS: usize = 80;

pub fn bound_us(k: usize) -> u64 {
    (1_000.0 * STEP.powi(k as i32)).round() as u64
}

/// Requests of a window by latency: `[k]` is how many took no longer than bound `k` but longer than
/// the one before; the last counts those beyond all bounds.
pub type Histogram = [u64; BOUNDS + 1];

/// Drawn one by one below this many, by intervals above: what is quicker.
const ONE_BY_ONE: u64 = 64;

/// What the pods of one side have in common in one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Log-odds of an error.
    pub error_logit: f64,
    /// Logarithm of the median latency in milliseconds, and the standard deviation.
    pub ln_latency: Option<(f64, f64)>,
    pub hangs: bool,
}

/// One side.
#[derive(Debug, Clone)]
pub struct Pods {
    /// Of each pod: what is added to the log-odds of an error, and to the log of the latency.
    effects: Vec<(f64, f64)>,
}

impl Pods {
    /// Pods whose effects are drawn; equal ones are one, as their requests cannot be told apart.
    pub fn new(count: u32, error_sigma: f64, latency_sigma: f64, rng: &mut Pcg64Mcg) -> Self {
        let equal = error_sigma == 0.0 && latency_sigma == 0.0;
        let count = if equal { 1 } else { count.max(1) };
        let mut normal = || -> f64 { StandardNormal.sample(rng) };
        let effects =
            (0..count).map(|_| (error_sigma * normal(), latency_sigma * normal())).collect();
        Self { effects }
    }

    /// A window in which the side gets `mean` requests on average. Latencies are added to `histogram`.
    pub fn answer(
        &self,
        mean: f64,
        conditions: Conditions,
        histogram: &mut Histogram,
        rng: &mut Pcg64Mcg,
    ) -> Counts {
        let mut answers = Counts::default();
        for (error, latency) in &self.effects {
            let n = poisson(mean / self.effects.len() as f64, rng);
            answers.requests += n;
            if conditions.hangs {
                histogram[BOUNDS] += n;
                continue;
            }
            let rate = 1.0 / (1.0 + (-(conditions.error_logit + error)).exp());
            answers.errors += binomial(n, rate, rng);
            if let Some((ln_median, sigma)) = conditions.ln_latency {
                latencies(n, ln_median + latency, sigma, histogram, rng);
            }
        }
        answers
    }
}

pub fn poisson(mean: f64, rng: &mut Pcg64Mcg) -> u64 {
    // The mean is finite and not huge, so what is drawn is a whole number in range.
    Poisson::new(mean).map_or(0, |law: Poisson<f64>| law.sample(rng) as u64)
}

fn binomial(n: u64, p: f64, rng: &mut Pcg64Mcg) -> u64 {
    if n == 0 {
        return 0;
    }
    Binomial::new(n, p.clamp(0.0, 1.0)).map_or(0, |law| law.sample(rng))
}

fn latencies(n: u64, ln_median: f64, sigma: f64, into: &mut Histogram, rng: &mut Pcg64Mcg) {
    let step = STEP.ln();
    if n <= ONE_BY_ONE || sigma == 0.0 {
        for _ in 0..n {
            let z: f64 = StandardNormal.sample(rng);
            let k = ((ln_median + sigma * z) / step).ceil();
            into[(k.max(0.0) as usize).min(BOUNDS)] += 1;
        }
        return;
    }
    // One interval after the other: of those that are left, how many end in this one.
    let slower = |k: usize| share_above((k as f64 * step - ln_median) / sigma);
    let (mut left, mut share_left) = (n, 1.0);
    for (k, count) in into.iter_mut().enumerate().take(BOUNDS) {
        let beyond = slower(k);
        if share_left - beyond > 0.0 {
            let here = binomial(left, 1.0 - beyond / share_left, rng);
            *count += here;
            left -= here;
        }
        share_left = beyond;
        if left == 0 || share_left <= 0.0 {
            break;
        }
    }
    into[BOUNDS] += left;
}

/// The share of a standard normal above `z`.
fn share_above(z: f64) -> f64 {
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn one_by_one_and_by_intervals_are_the_same_law() {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let (ln_median, sigma) = (30.0_f64.ln(), 0.5);
        let (mut single, mut split) = ([0; BOUNDS + 1], [0; BOUNDS + 1]);
        for _ in 0..4_000 {
            latencies(ONE_BY_ONE, ln_median, sigma, &mut single, &mut rng);
        }
        latencies(4_000 * ONE_BY_ONE, ln_median, sigma, &mut split, &mut rng);
        assert_eq!(single.iter().sum::<u64>(), split.iter().sum::<u64>());
        for k in 0..=BOUNDS {
            let (a, b) = (single[k] as f64, split[k] as f64);
            assert!((a - b).abs() <= 5.0 * (a + b + 1.0).sqrt(), "{k}: {a} {b}");
        }
        // And the law that was asked for: half of them take longer than the median.
        let median = (30.0_f64.ln() / STEP.ln()).ceil() as usize;
        let beyond: u64 = split[median + 1..].iter().sum();
        let share = beyond as f64 / split.iter().sum::<u64>() as f64;
        assert!((share - 0.5).abs() < 0.12, "{share}");
    }
}
