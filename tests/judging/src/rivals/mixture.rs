//! The mixture sequential probability ratio test (mSPRT) of commercial A/B testing: valid at every look, as long as both sides'
//! rates stay what they are.

use neuroca_deploy_core::judge::{Ratio, Window};

use super::Rival;
use super::naive::{add, difference};

const ALPHA: f64 = 0.01;
/// How large differences are expected to be.
const SIGMA: f64 = 0.01;

#[derive(Default)]
pub struct Mixture {
    sums: [Ratio; 2],
    alarm: bool,
}

impl Rival for Mixture {
    fn take(&mut self, window: &Window) {
        add(&mut self.sums, window);
        let Some((difference, v)) = difference(self.sums) else { return };
        let tau = SIGMA * SIGMA;
        let ln_ratio =
            0.5 * (v / (v + tau)).ln() + tau * difference * difference / (2.0 * v * (v + tau));
        self.alarm |= difference > 0.0 && ln_ratio >= (1.0 / ALPHA).ln();
    }

    fn alarm(&self) -> bool {
        self.alarm
    }

    fn goes_on(&self, _: u32) -> bool {
        true
    }
}
