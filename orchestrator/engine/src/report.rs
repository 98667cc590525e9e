//! What a run tells whoever watches it.

use neuroca_deploy_core::effect::Effect;
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_core::rollout::State;

/// Where an effect is between its two journal records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectPhase {
    /// Its start is about to be journaled.
    Due,
    /// Its start is durable; it is about to be done.
    Started,
    /// It was done; that is not journaled yet.
    Done,
    /// It was refused, for this reason.
    Refused(String),
    /// Its end is durable.
    Journaled,
}

/// Watches a run. Calls come in order and must not block for long.
pub trait Reporter: Send + Sync {
    /// The machine moved, or something new was seen.
    fn state(&self, state: &State, observed: &Observed);
    fn effect(&self, effect: &Effect, phase: &EffectPhase);
    /// Something that is worth a line, such as a target that does not answer for now.
    fn note(&self, text: &str);
}

/// Says nothing.
pub struct Quiet;

impl Reporter for Quiet {
    fn state(&self, _: &State, _: &Observed) {}
    fn effect(&self, _: &Effect, _: &EffectPhase) {}
    fn note(&self, _: &str) {}
}
