//! The judge that ships, with its default policy.

use neuroca_deploy_core::judge::{Acceptance, Analysis, Judge, Window};

use super::Rival;
use crate::watch::judge;

pub struct Ours(Judge);

impl Ours {
    pub fn new() -> Self {
        Self(judge(&Analysis::default()))
    }
}

impl Rival for Ours {
    fn take(&mut self, window: &Window) {
        self.0.take(window);
    }

    fn alarm(&self) -> bool {
        self.0.alarm().is_some()
    }

    fn goes_on(&self, next: u32) -> bool {
        self.0.accepts(next) == Acceptance::Accepted
    }
}
