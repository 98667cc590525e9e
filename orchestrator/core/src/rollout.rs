//! The rollout machine: from the old release to the new one, or back.
//!
//! `step(state, event)` is pure; time comes in with the events. What the machine waits for is
//! part of its state, and [`assess`] tells which events an observation amounts to. It knows no
//! target, no journal and no operator's terminal.

mod assess;
mod effects;
mod intents;
mod phases;
mod spec;
mod state;
mod step;
mod waiting;

pub use assess::assess;
pub use spec::{Manifests, Move, Orphan, Spec, Stranded};
pub use state::{Event, Intent, Phase, State};
pub use step::step;

#[cfg(test)]
mod tests;
