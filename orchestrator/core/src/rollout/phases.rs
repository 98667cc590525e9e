//! How the machine goes from phase to phase: what a phase begins with, and which one is next. Which
//! event moves it is decided in `step` and `intents`.

use super::effects::effects_of;
use super::spec::Move;
use super::state::{Phase, State};
use crate::effect::{Effect, Outcome};

/// Enters a phase; one without effects and without anything to observe is passed through.
pub(super) fn enter(state: &mut State, phase: Phase, now: u64) {
    // A word about one step is none about the next.
    let same_step = matches!((phase, state.step()), (Phase::Holding(n) | Phase::Shifting(n), Some(m)) if n == m);
    state.promoted &= same_step;
    state.phase = phase;
    state.phase_ms = now;
    state.outstanding = effects_of(state).into();
    for effect in &state.outstanding {
        if let Effect::Route { traffic } = effect {
            state.asked = Some(traffic.clone());
            state.lost = false;
        }
    }
    let passes_through = matches!(
        phase,
        Phase::Preparing
            | Phase::ClearingStop
            | Phase::Testing
            | Phase::Finishing
            | Phase::Retiring
            | Phase::BackStopping
    );
    if state.outstanding.is_empty() && passes_through {
        after_effects(state, now);
    }
}

/// What comes when the effects of a phase are done and nothing has to be observed.
pub(super) fn after_effects(state: &mut State, now: u64) {
    let next = match state.phase {
        Phase::Preparing if state.spec.strategy_stops_first() => Phase::Clearing,
        Phase::Preparing if state.spec.manifests_alone() && state.spec.awaited().is_empty() => {
            Phase::Retiring
        }
        Phase::Preparing => Phase::Starting,
        Phase::ClearingStop => Phase::Starting,
        Phase::Testing => Phase::Shifting(0),
        Phase::Finishing => Phase::Draining,
        Phase::Retiring => Phase::Recording,
        Phase::BackStopping => Phase::Recording,
        Phase::Recording => Phase::Finished,
        // After the streams were ended there is nothing more to wait for.
        Phase::Draining => Phase::Retiring,
        Phase::ClearingDrain => Phase::ClearingStop,
        Phase::BackDraining => Phase::BackStopping,
        // These wait for an observation.
        _ => return,
    };
    enter(state, next, now);
}

/// Where the machine goes from step `n`.
pub(super) fn after(state: &State, n: usize) -> Phase {
    match n + 1 < state.spec.steps.len() {
        true => Phase::Shifting(n + 1),
        false => Phase::Swapping,
    }
}

/// The way back begins; what has been done decides where.
pub(super) fn turn_back(state: &mut State, outcome: Outcome, now: u64) {
    state.verdict = Some(outcome);
    state.route_refused = 0;
    state.paused = false;
    state.inconclusive = None;
    // Nothing was routed or scaled yet: only what was started has to be stopped.
    let untouched = matches!(state.phase, Phase::New | Phase::Preparing | Phase::Starting)
        && state.asked.is_none()
        && !state.spec.moves.iter().any(Move::is_scaled)
        && state.spec.stranded.is_none();
    state.outstanding.clear();
    enter(state, if untouched { Phase::BackStopping } else { Phase::BackStarting }, now);
}
