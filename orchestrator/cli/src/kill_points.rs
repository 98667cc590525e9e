//! Lets a test have this process killed before and after each effect of a run.
//!
//! Which one is decided by `local::kill_point`; in release builds without the feature `kill-points`
//! nothing is.

use std::path::PathBuf;

use neuroca_deploy_core::effect::Effect;
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_core::rollout::State;
use neuroca_deploy_engine::{EffectPhase, Reporter};
use neuroca_deploy_local::kill_point;

/// A reporter that may not return.
pub struct KillPoints<'a> {
    inner: &'a dyn Reporter,
    state_dir: PathBuf,
}

impl<'a> KillPoints<'a> {
    pub fn new(inner: &'a dyn Reporter, state_dir: PathBuf) -> Self {
        Self { inner, state_dir }
    }
}

impl Reporter for KillPoints<'_> {
    fn state(&self, state: &State, observed: &Observed) {
        self.inner.state(state, observed);
    }

    fn effect(&self, effect: &Effect, phase: &EffectPhase) {
        let reach = |when| kill_point::reach(&self.state_dir, "command", when, effect.kind());
        match phase {
            EffectPhase::Started => reach("before"),
            EffectPhase::Done | EffectPhase::Refused(_) => reach("after"),
            EffectPhase::Due | EffectPhase::Journaled => {}
        }
        self.inner.effect(effect, phase);
    }

    fn note(&self, text: &str) {
        self.inner.note(text);
    }
}
