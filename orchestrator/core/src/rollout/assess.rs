//! What an observation means for a rollout: the health rules and the waits.

use super::spec::Move;
use super::state::{Event, Phase, State};
use crate::observed::{Observed, RevisionObserved, Trouble};
use crate::release::RevisionId;

/// The event that `observed` at `now_ms` amounts to in this state, if any. Without an observation
/// only the deadline counts: no data moves neither way (invariant 7).
pub fn assess(state: &State, observed: Option<&Observed>, now_ms: u64) -> Option<Event> {
    if !state.outstanding.is_empty() || state.paused {
        return None;
    }
    observed.and_then(|o| look(state, o, now_ms)).or_else(|| deadline(state, now_ms))
}

fn look(state: &State, observed: &Observed, now_ms: u64) -> Option<Event> {
    let waited = now_ms.saturating_sub(state.phase_ms);
    match state.phase {
        Phase::Starting => {
            let moves = state.spec.moves.iter();
            let first = moves.filter(|m| (m.port && m.is_new()) || m.is_scaled());
            starting(first, to, observed, waited)
        }
        Phase::Swapping => starting(state.spec.starting(false), to, observed, waited),
        Phase::BackStarting => back_starting(state, observed, waited),
        Phase::Clearing | Phase::Previewing | Phase::Shifting(_) | Phase::BackShifting => {
            (observed.traffic.is_some() && observed.traffic == state.asked)
                .then_some(Event::RouteObserved)
        }
        Phase::Watching => watching(state, observed, waited),
        Phase::Draining | Phase::ClearingDrain | Phase::BackDraining => {
            draining(state, observed, waited)
        }
        _ => None,
    }
}

fn to(m: &Move) -> Option<&RevisionId> {
    m.to.as_ref()
}

fn from(m: &Move) -> Option<&RevisionId> {
    m.from.as_ref()
}

fn starting<'a>(
    moves: impl Iterator<Item = &'a Move>,
    side: fn(&Move) -> Option<&RevisionId>,
    observed: &Observed,
    waited: u64,
) -> Option<Event> {
    let mut all_ready = true;
    for m in moves {
        let Some(revision) = side(m) else { continue };
        let seen = observed.revisions.get(revision);
        if seen.is_some_and(RevisionObserved::is_ready) {
            continue;
        }
        all_ready = false;
        if let Some(seen) = seen.filter(|seen| seen.crash_loop) {
            return Some(unhealthy(&m.component, "keeps crashing", seen.trouble.as_ref()));
        }
        if waited >= m.start_timeout_ms {
            let what = format!("was not ready within {} s", m.start_timeout_ms as f64 / 1000.0);
            return Some(unhealthy(&m.component, &what, seen.and_then(|s| s.trouble.as_ref())));
        }
    }
    all_ready.then_some(Event::Ready)
}

fn back_starting(state: &State, observed: &Observed, waited: u64) -> Option<Event> {
    let returning = state.spec.moves.iter().filter(|m| m.leaving().is_some());
    starting(returning, from, observed, waited)
}

fn watching(state: &State, observed: &Observed, waited: u64) -> Option<Event> {
    for m in state.spec.moves.iter().filter(|m| m.is_new() || m.is_scaled()) {
        // No data moves neither verdict: the deadline alone ends a watch without observations.
        let seen = to(m).and_then(|revision| observed.revisions.get(revision))?;
        if seen.crash_loop {
            return Some(unhealthy(&m.component, "keeps crashing", seen.trouble.as_ref()));
        }
        if !seen.is_ready() {
            let what = format!("lost readiness ({} of {} ready)", seen.ready, seen.wanted);
            return Some(unhealthy(&m.component, &what, seen.trouble.as_ref()));
        }
    }
    (waited >= state.spec.watch_ms).then_some(Event::Watched)
}

fn draining(state: &State, observed: &Observed, waited: u64) -> Option<Event> {
    let busy = state
        .draining()
        .iter()
        .filter_map(|revision| observed.revisions.get(revision))
        .any(|seen| seen.in_flight > 0 || seen.streams > 0);
    if !busy {
        return Some(Event::Drained);
    }
    let limit = state.spec.moves.iter().map(|m| m.drain_ms).max().unwrap_or(0);
    (waited >= limit).then_some(Event::DrainLimit)
}

fn deadline(state: &State, now_ms: u64) -> Option<Event> {
    // An accepted release is not turned back because its predecessor drains slowly.
    let undecided = state.phase < Phase::Finishing;
    let passed = now_ms.saturating_sub(state.began_ms) >= state.spec.deadline_ms;
    (undecided && passed && state.phase != Phase::New).then(|| Event::Unhealthy {
        reason: format!(
            "the rollout did not end within its deadline of {} s; it was waiting for {}",
            state.spec.deadline_ms / 1000,
            state.waits_for()
        ),
    })
}

fn unhealthy(component: &str, what: &str, trouble: Option<&Trouble>) -> Event {
    let mut reason = format!("{component} {what}");
    if let Some(trouble) = trouble {
        reason.push_str(&format!(": {}", trouble.what));
        if let Some(body) = trouble.body.as_deref().filter(|b| !b.is_empty()) {
            reason.push_str(&format!("\n  answer: {body}"));
        }
        for line in &trouble.log_lines {
            reason.push_str(&format!("\n  | {line}"));
        }
    }
    Event::Unhealthy { reason }
}
