//! What operators' words do to the machine. Whether anybody may say them is not decided here.

use super::phases::{after, enter, turn_back};
use super::state::{Intent, Phase, State};
use crate::effect::Outcome;

pub(super) fn operator(state: &mut State, intent: &Intent, now: u64) {
    match intent {
        Intent::Pause => state.paused = !state.is_turning_back(),
        Intent::Resume => {
            // The time spent paused counts neither for the phase nor for the deadline.
            let away = now.saturating_sub(state.phase_ms);
            if state.paused {
                state.began_ms += away;
                state.phase_ms = now;
            }
            state.paused = false;
            state.inconclusive = None;
        }
        Intent::Promote { full } => promote(state, *full, now),
        Intent::Abort => {
            stop(state, Outcome::Aborted { reason: "aborted by an operator".into() }, now)
        }
        Intent::Rollback => {
            stop(state, Outcome::Aborted { reason: "rolled back by an operator".into() }, now);
        }
        Intent::Supersede => stop(state, Outcome::Superseded, now),
    }
}

fn promote(state: &mut State, full: bool, now: u64) {
    if state.paused || state.at_gate().is_some() {
        // Time spent waiting for a person does not count for the deadline.
        state.began_ms += now.saturating_sub(state.phase_ms);
    }
    state.paused = false;
    state.inconclusive = None;
    let idle = state.outstanding.is_empty();
    let last = state.spec.steps.len() - 1;
    match state.phase {
        Phase::Holding(n) | Phase::Shifting(n) | Phase::Regaining(n)
            if full && n < last && idle =>
        {
            enter(state, Phase::Shifting(last), now);
        }
        Phase::Holding(n) if idle => enter(state, after(state, n), now),
        // The weight is not observed yet; the step is left as soon as it is.
        Phase::Shifting(_) | Phase::Regaining(_) => state.promoted = true,
        Phase::Watching if idle => enter(state, Phase::Finishing, now),
        _ => {}
    }
}

fn stop(state: &mut State, outcome: Outcome, now: u64) {
    // While the old release is being retired it is too late to go back by this rollout; the
    // operator's command sees the release deployed and plans its own way back.
    let retiring = matches!(state.phase, Phase::Retiring | Phase::Recording);
    if !state.is_turning_back() && !retiring {
        turn_back(state, outcome, now);
    }
}
