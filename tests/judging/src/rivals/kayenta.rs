//! Kayenta: the values of both sides, minute by minute, by the Mann-Whitney test. The canary is "High" when the lower end of
//! the 98 % confidence interval of the shift (Hodges and Lehmann) is above a quarter of its estimate.

use neuroca_deploy_core::judge::Window;

use super::{Minutes, Rival, rate};

/// Of the normal law, for a two-sided confidence of 98 %.
const Z: f64 = 2.326;
const FRACTION: f64 = 0.25;
/// The usual advice is 50 points; nobody waits that long at each step, so a fifth of it for all steps together.
const LEAST_POINTS: usize = 10;

#[derive(Default)]
pub struct Kayenta {
    minutes: Minutes,
    canary: Vec<f64>,
    stable: Vec<f64>,
    high: bool,
}

impl Kayenta {
    fn is_high(&self) -> bool {
        let mut shifts: Vec<f64> =
            self.canary.iter().flat_map(|c| self.stable.iter().map(move |s| c - s)).collect();
        shifts.sort_by(f64::total_cmp);
        let (n, m) = (self.canary.len() as f64, self.stable.len() as f64);
        let spread = Z * (n * m * (n + m + 1.0) / 12.0).sqrt();
        let lower = n * m / 2.0 - spread;
        if lower < 1.0 {
            return false;
        }
        let estimate = shifts[shifts.len() / 2].abs();
        shifts[lower as usize - 1] > FRACTION * estimate
    }
}

impl Rival for Kayenta {
    fn take(&mut self, window: &Window) {
        let Some([canary, stable]) = self.minutes.add(window) else { return };
        if let (Some(canary), Some(stable)) = (rate(canary), rate(stable)) {
            self.canary.push(canary);
            self.stable.push(stable);
            self.high |= self.is_high();
        }
    }

    fn alarm(&self) -> bool {
        self.high
    }

    fn goes_on(&self, next: u32) -> bool {
        next < 100 || self.canary.len() >= LEAST_POINTS
    }
}
