//! How others decide, on the same counts: enough of each rule to be fair to it, with its usual settings.
//!
//! They see errors alone. What each can't do (no data, latency, several metrics) is not held against it here.

mod argo;
mod flagger;
mod kayenta;
mod mixture;
mod naive;
mod ours;

use neuroca_deploy_core::judge::{Ratio, Window};

/// Somebody who looks at every window and may raise an alarm.
pub trait Rival: Send {
    fn take(&mut self, window: &Window);

    /// Whether the release is turned back by now; stays so.
    fn alarm(&self) -> bool;

    /// Whether a release at this step may go on, its least time there being over.
    fn goes_on(&self, next: u32) -> bool;
}

/// Makes a rival who has seen nothing.
pub type Make = fn() -> Box<dyn Rival>;

/// All of them, with the settings that they have here.
pub const ALL: [(&str, &str, Make); 6] = [
    ("this judge", "default policy", || Box::new(ours::Ours::new())),
    (
        "Flagger's threshold",
        "success rate >= 99 % each minute, turned back after 5 failed checks",
        || Box::new(flagger::Flagger::default()),
    ),
    ("Argo's failureLimit", "success rate >= 99 % each minute, failureLimit 3", || {
        Box::new(argo::Argo::default())
    }),
    (
        "Kayenta's Mann-Whitney",
        "error rates by minute, 98 % confidence, a look each minute, goes on after 10 minutes",
        || Box::new(kayenta::Kayenta::default()),
    ),
    ("naive z-test", "difference of the error rates, level 1 %, at every look", || {
        Box::new(naive::Naive::default())
    }),
    ("mSPRT", "difference of the error rates, level 1 %, normal mixture with sigma .01", || {
        Box::new(mixture::Mixture::default())
    }),
];

/// Requests and errors of both sides in a window.
fn errors(window: &Window) -> [Ratio; 2] {
    let mut sums = [Ratio::default(); 2];
    for sides in window.components.values() {
        for (sum, counts) in sums.iter_mut().zip([&sides.canary, &sides.stable]) {
            sum.of += counts.requests;
            sum.bad += counts.errors;
        }
    }
    sums
}

/// Counts of both sides, minute by minute.
#[derive(Debug, Default)]
struct Minutes {
    open: [Ratio; 2],
    closes_ms: u64,
}

const MINUTE_MS: u64 = 60_000;

impl Minutes {
    /// Adds a window; gives the minute's counts when the window ends one.
    fn add(&mut self, window: &Window) -> Option<[Ratio; 2]> {
        if self.closes_ms == 0 {
            self.closes_ms = MINUTE_MS;
        }
        for (sum, counts) in self.open.iter_mut().zip(errors(window)) {
            sum.of += counts.of;
            sum.bad += counts.bad;
        }
        (window.end_ms >= self.closes_ms).then(|| {
            self.closes_ms += MINUTE_MS;
            std::mem::take(&mut self.open)
        })
    }
}

/// Share of bad ones; `None` without any.
fn rate(counts: Ratio) -> Option<f64> {
    (counts.of > 0).then(|| counts.bad as f64 / counts.of as f64)
}
