//! Flagger: each interval the canary's success rate has to be above a fixed threshold. Failed checks add up over the
//! whole analysis; the interval after the last one that is allowed turns the release back.

use neuroca_deploy_core::judge::Window;

use super::{Minutes, Rival, rate};

const LEAST_SUCCESS: f64 = 0.99;
const THRESHOLD: u32 = 5;

#[derive(Default)]
pub struct Flagger {
    minutes: Minutes,
    failed: u32,
    last_was_good: bool,
    rolled_back: bool,
}

impl Rival for Flagger {
    fn take(&mut self, window: &Window) {
        let Some([canary, _]) = self.minutes.add(window) else { return };
        if self.failed >= THRESHOLD {
            self.rolled_back = true;
            return;
        }
        self.last_was_good = rate(canary).is_some_and(|errors| 1.0 - errors >= LEAST_SUCCESS);
        self.failed += u32::from(!self.last_was_good);
    }

    fn alarm(&self) -> bool {
        self.rolled_back
    }

    fn goes_on(&self, _: u32) -> bool {
        self.last_was_good
    }
}
