//! Argo Rollouts: an analysis in the background measures each interval; more failures than `failureLimit` abort.
//! Steps are left when their pause is over.

use neuroca_deploy_core::judge::Window;

use super::{Minutes, Rival, rate};

const LEAST_SUCCESS: f64 = 0.99;
const FAILURE_LIMIT: u32 = 3;

#[derive(Default)]
pub struct Argo {
    minutes: Minutes,
    failures: u32,
}

impl Rival for Argo {
    fn take(&mut self, window: &Window) {
        if let Some([canary, _]) = self.minutes.add(window) {
            let good = rate(canary).is_some_and(|errors| 1.0 - errors >= LEAST_SUCCESS);
            self.failures += u32::from(!good);
        }
    }

    fn alarm(&self) -> bool {
        self.failures > FAILURE_LIMIT
    }

    fn goes_on(&self, _: u32) -> bool {
        true
    }
}
