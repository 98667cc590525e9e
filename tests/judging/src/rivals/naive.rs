//! The test of two proportions that statistics courses teach, looked at after every window.

use neuroca_deploy_core::judge::{Ratio, Window};

use super::{Rival, errors, rate};

/// One-sided, at 1 %.
const Z: f64 = 2.326;

#[derive(Default)]
pub struct Naive {
    sums: [Ratio; 2],
    alarm: bool,
}

/// The difference of the error rates and its variance if there were none.
pub fn difference(sums: [Ratio; 2]) -> Option<(f64, f64)> {
    let [canary, stable] = sums;
    let pooled = (canary.bad + stable.bad) as f64 / (canary.of + stable.of).max(1) as f64;
    let variance = pooled * (1.0 - pooled) * (1.0 / canary.of as f64 + 1.0 / stable.of as f64);
    Some((rate(canary)? - rate(stable)?, variance)).filter(|(_, variance)| *variance > 0.0)
}

pub fn add(sums: &mut [Ratio; 2], window: &Window) {
    for (sum, counts) in sums.iter_mut().zip(errors(window)) {
        sum.of += counts.of;
        sum.bad += counts.bad;
    }
}

impl Rival for Naive {
    fn take(&mut self, window: &Window) {
        add(&mut self.sums, window);
        if let Some((difference, variance)) = difference(self.sums) {
            self.alarm |= difference / variance.sqrt() > Z;
        }
    }

    fn alarm(&self) -> bool {
        self.alarm
    }

    fn goes_on(&self, _: u32) -> bool {
        true
    }
}
