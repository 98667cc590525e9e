//! What an observation means for a rollout: the health rules and the waits.

use std::ops::ControlFlow;

use super::spec::Move;
use super::state::{Event, Phase, State};
use crate::judge::Acceptance;
use crate::observed::{Observed, RevisionObserved, Trouble, WorkloadObserved};
use crate::release::RevisionId;

/// How long the router may report another split than the step's before that is asked for again.
const ASK_AGAIN_MS: u64 = 2_000;

/// The event that `observed` at `now_ms` amounts to in this state, if any. Without an observation
/// only the deadline counts: no data moves neither way (invariant 7).
pub fn assess(state: &State, observed: Option<&Observed>, now_ms: u64) -> Option<Event> {
    if !state.outstanding.is_empty() {
        return None;
    }
    if state.paused {
        return observed.and_then(|o| while_paused(state, o));
    }
    observed.and_then(|o| look(state, o, now_ms)).or_else(|| deadline(state, observed, now_ms))
}

fn look(state: &State, observed: &Observed, now_ms: u64) -> Option<Event> {
    let waited = now_ms.saturating_sub(state.phase_ms);
    match state.phase {
        Phase::Starting => {
            let moves = state.spec.moves.iter();
            let first = moves.filter(|m| state.spec.is_started_first(m));
            match own_workloads(state, observed) {
                ControlFlow::Break(event) => event,
                ControlFlow::Continue(()) => starting(first, to, observed, waited),
            }
        }
        Phase::Swapping => starting(state.spec.swapped(), to, observed, waited),
        Phase::BackStarting => back_starting(state, observed, waited),
        Phase::Clearing | Phase::Previewing | Phase::Regaining(_) | Phase::BackShifting => {
            routed(state, observed)
        }
        Phase::Shifting(_) => routed(state, observed).or_else(|| {
            // While nobody drove, the old release was given everything; it may also be an edge
            // that lags, and asking it again does no harm.
            (observed.traffic.is_some() && waited >= ASK_AGAIN_MS).then_some(Event::RouteLost)
        }),
        Phase::Holding(n) => holding(state, n, observed, waited),
        Phase::Watching => watching(state, observed, waited),
        Phase::Draining | Phase::ClearingDrain | Phase::BackDraining => {
            draining(state, observed, waited)
        }
        _ => None,
    }
}

fn routed(state: &State, observed: &Observed) -> Option<Event> {
    (observed.traffic.is_some() && observed.traffic == state.asked).then_some(Event::RouteObserved)
}

/// Whether the router has another split than the one that it reported before.
fn forgets(state: &State, observed: &Observed) -> bool {
    observed.traffic.is_some() && observed.traffic != state.asked
}

/// A phase that waits under a split asks for it again when the router has another one, and waits anew
/// from when it is in force.
fn regained(state: &State, observed: &Observed, waited: u64) -> Option<Event> {
    if observed.traffic == state.asked {
        return state.lost.then_some(Event::RouteObserved);
    }
    (observed.traffic.is_some() && waited >= ASK_AGAIN_MS).then_some(Event::RouteLost)
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

/// Workloads of the user's own that the rollout waits for and that are not ready; nothing stands for one that has not
/// been seen.
fn unready<'a>(state: &State, observed: &'a Observed) -> Vec<Option<&'a WorkloadObserved>> {
    let awaited = state.spec.awaited().iter();
    let seen = awaited.map(|id| observed.workloads.iter().find(|seen| seen.id == *id));
    seen.filter(|seen| !seen.is_some_and(|seen| seen.is_ready)).collect()
}

/// One without hope turns the release back; as long as others are not ready, nothing else is looked at.
fn own_workloads(state: &State, observed: &Observed) -> ControlFlow<Option<Event>> {
    let unready = unready(state, observed);
    if unready.is_empty() {
        return ControlFlow::Continue(());
    }
    let hopeless = unready.into_iter().flatten().find(|seen| seen.is_hopeless);
    ControlFlow::Break(hopeless.map(|seen| {
        unhealthy(&seen.id.to_string(), "will not become ready", seen.trouble.as_ref())
    }))
}

/// A pause stops timers, not the health rules: what has traffic has to stay healthy.
fn while_paused(state: &State, observed: &Observed) -> Option<Event> {
    let Phase::Holding(_) = state.phase else { return None };
    match health(state.spec.moves.iter().filter(|m| m.port && m.is_new()), observed)? {
        Health::Good => None,
        Health::Bad(event) => Some(event),
    }
}

/// The old release may take over again when it is all there, or with what is ready of it when that
/// serves already, or when waiting for the rest has been long enough: the new one is worse.
fn back_starting(state: &State, observed: &Observed, waited: u64) -> Option<Event> {
    let good_enough = |m: &Move| {
        let seen = from(m).and_then(|revision| observed.revisions.get(revision));
        seen.is_some_and(|seen| {
            let rest_is_late = seen.crash_loop || waited >= m.start_timeout_ms;
            seen.ready > 0 && (rest_is_late || serves(observed, from(m)))
        })
    };
    let returning = state.spec.returning().filter(|m| !good_enough(m));
    starting(returning, from, observed, waited)
}

/// Whether the router sends it requests by weight.
fn serves(observed: &Observed, revision: Option<&RevisionId>) -> bool {
    let shares = observed.traffic.iter().flat_map(|traffic| traffic.shares.values().flatten());
    shares.filter(|share| share.weight > 0).any(|share| Some(&share.revision) == revision)
}

fn watching(state: &State, observed: &Observed, waited: u64) -> Option<Event> {
    let new = state.spec.moves.iter().filter(|m| m.is_new() || m.is_scaled());
    match health(new, observed)? {
        Health::Good if state.lost || forgets(state, observed) => regained(state, observed, waited),
        Health::Good => (waited >= state.spec.watch_ms).then_some(Event::Watched),
        Health::Bad(event) => Some(event),
    }
}

/// A step of a canary: health rules first, then whether the split still stands, then its
/// conditions. What the judge finds worse turns the release back when it is counted.
fn holding(state: &State, n: usize, observed: &Observed, waited: u64) -> Option<Event> {
    let serving = state.spec.moves.iter().filter(|m| m.port && m.is_new());
    if let Health::Bad(event) = health(serving, observed)? {
        return Some(event);
    }
    if forgets(state, observed) {
        return Some(Event::RouteLost);
    }
    if state.promoted {
        return Some(Event::StepPassed);
    }
    let step = &state.spec.steps[n];
    if waited < step.pause.0 {
        return None;
    }
    let missing = match state.spec.is_judged(n) {
        false => None,
        true => match state.acceptance(n) {
            Acceptance::Accepted => None,
            Acceptance::Missing(what) => Some(what),
        },
    };
    match missing {
        None if step.gate => None,
        None => Some(Event::StepPassed),
        Some(what) => (waited >= step.pause.0.max(state.spec.analysis.decide_within.0))
            .then(|| Event::Inconclusive { reason: undecided(state, n, &what) }),
    }
}

/// Why a judge came to no verdict, with what it lacked.
fn undecided(state: &State, n: usize, missing: &str) -> String {
    let weight = state.spec.steps[n].weight;
    let within = state.spec.analysis.decide_within;
    match &state.blind {
        Some(why) => format!("nothing to judge by within {within} at {weight} %: {why}"),
        None => format!("no verdict within {within} at {weight} %: {missing}"),
    }
}

enum Health {
    Good,
    Bad(Event),
}

/// The health rules; nothing when a revision cannot be seen: no data moves neither verdict.
fn health<'a>(moves: impl Iterator<Item = &'a Move>, observed: &Observed) -> Option<Health> {
    for m in moves {
        let seen = to(m).and_then(|revision| observed.revisions.get(revision))?;
        if seen.crash_loop {
            let event = unhealthy(&m.component, "keeps crashing", seen.trouble.as_ref());
            return Some(Health::Bad(event));
        }
        if !seen.is_ready() {
            let what = format!("lost readiness ({} of {} ready)", seen.ready, seen.wanted);
            let event = unhealthy(&m.component, &what, seen.trouble.as_ref());
            return Some(Health::Bad(event));
        }
    }
    Some(Health::Good)
}

fn draining(state: &State, observed: &Observed, waited: u64) -> Option<Event> {
    if state.lost || observed.traffic != state.asked {
        return regained(state, observed, waited);
    }
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

fn deadline(state: &State, observed: Option<&Observed>, now_ms: u64) -> Option<Event> {
    // An accepted release is not turned back because its predecessor drains slowly.
    let undecided = state.phase < Phase::Finishing;
    let passed = now_ms.saturating_sub(state.began_ms) >= state.spec.deadline_ms;
    // A gate waits for a person, however long that takes.
    if !undecided || !passed || state.phase == Phase::New || state.at_gate().is_some() {
        return None;
    }
    let reason = format!(
        "the rollout did not end within its deadline of {} s; it was waiting for {}",
        state.spec.deadline_ms / 1000,
        state.waits_for()
    );
    let stuck = observed.and_then(|observed| unready(state, observed).into_iter().flatten().next());
    Some(match (state.phase, stuck) {
        (Phase::Starting, Some(stuck)) => {
            let limit = state.spec.deadline_ms / 1000;
            let what = format!("was not ready within the rollout's deadline of {limit} s");
            unhealthy(&stuck.id.to_string(), &what, stuck.trouble.as_ref())
        }
        // It is up, and nothing speaks against it: what is missing is a verdict.
        (Phase::Holding(_) | Phase::Watching, _) => Event::Inconclusive { reason },
        _ => Event::Unhealthy { reason },
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
