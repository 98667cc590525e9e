//! The transition function.

use super::effects::losing_traffic;
use super::intents::operator;
use super::phases::{after, after_effects, enter, turn_back};
use super::state::{Event, Phase, State};
use crate::effect::{Effect, Outcome};
use crate::judge::{OnInconclusive, Window};

/// How often the router may refuse the way back before everything is left as it is.
const GOES_BACK_TRIES: u32 = 20;
/// How often it may refuse an accepted release the traffic that it had, before that goes back.
const KEEPS_TRIES: u32 = 5;

/// What follows from `event` at `now_ms`: the next state and the effects that it adds. An event
/// that does not fit the state (late, repeated) changes nothing but its time.
pub fn step(mut state: State, event: &Event, now_ms: u64) -> (State, Vec<Effect>) {
    if state.phase == Phase::Finished {
        return (state, Vec::new());
    }
    let (phase, known) = (state.phase, state.outstanding.len());
    apply(&mut state, event, now_ms);
    state.last_ms = now_ms;
    // Within a phase effects are taken from the front and added at the end.
    let old = if state.phase == phase { known } else { 0 };
    let added = state.outstanding.iter().skip(old).cloned().collect();
    (state, added)
}

fn apply(state: &mut State, event: &Event, now: u64) {
    let idle = state.outstanding.is_empty();
    match (state.phase, event) {
        (Phase::New, Event::Began) => {
            state.began_ms = now;
            enter(state, Phase::Preparing, now);
        }
        (_, Event::Operator { intent }) => operator(state, intent, now),
        (_, Event::Done) if !idle => effect_ended(state, now),
        (phase, Event::Refused { reason }) if !idle => refused(state, phase, reason, now),
        (Phase::Preparing, Event::Outdated { reason }) if !idle && !state.is_turning_back() => {
            turn_back(state, Outcome::Outdated { reason: reason.clone() }, now);
        }
        (phase, Event::Outdated { reason }) if !idle => refused(state, phase, reason, now),
        (_, Event::Unhealthy { reason }) if !state.is_turning_back() => {
            turn_back(state, Outcome::TurnedBack { reason: reason.clone() }, now);
        }
        (Phase::BackStarting, Event::Unhealthy { reason }) => cannot_go_back(state, reason, now),
        (_, Event::Counted { window }) if state.is_judging() => counted(state, window, now),
        (_, Event::Blind { reason }) if state.is_judging() => state.blind = Some(reason.clone()),
        (phase, Event::Inconclusive { reason }) if !state.is_turning_back() && idle => {
            inconclusive(state, phase, reason, now);
        }
        (phase, Event::TookOver) => took_over(state, phase, now),
        (Phase::Starting, Event::Ready) if idle && state.spec.manifests_alone() => {
            enter(state, Phase::Retiring, now);
        }
        (Phase::Starting, Event::Ready) if idle => {
            // A release that was tested before needs no preview on the way back to it; after one
            // that was left half-way nobody knows that the old one can serve meanwhile.
            let direct = state.spec.rollback || state.spec.stranded.is_some();
            enter(state, if direct { Phase::Shifting(0) } else { Phase::Previewing }, now);
        }
        (Phase::Swapping, Event::Ready) if idle => enter(state, Phase::Watching, now),
        (Phase::BackStarting, Event::Ready) if idle => enter(state, Phase::BackShifting, now),
        (Phase::Clearing, Event::RouteObserved) if idle => enter(state, Phase::ClearingDrain, now),
        (Phase::Previewing, Event::RouteObserved) if idle => enter(state, Phase::Testing, now),
        (Phase::Shifting(n), Event::RouteObserved) if idle => {
            if state.spec.has_judge() && state.judged_ms.is_none() {
                state.judged_ms = Some(now);
            }
            enter(
                state,
                if state.spec.is_held(n) { Phase::Holding(n) } else { after(state, n) },
                now,
            );
        }
        (Phase::Holding(n), Event::StepPassed) if idle => enter(state, after(state, n), now),
        (Phase::Holding(n) | Phase::Shifting(n), Event::RouteLost) if idle => {
            enter(state, Phase::Shifting(n), now);
        }
        // Asked for again, so that nothing is taken for drained or watched that is not so.
        (_, Event::RouteLost) if idle && state.waits_under_a_split() => {
            state.lost = true;
            state.outstanding.extend(state.asked.clone().map(|traffic| Effect::Route { traffic }));
        }
        (_, Event::RouteObserved) if idle && state.waits_under_a_split() => {
            state.lost = false;
            state.route_refused = 0;
            state.phase_ms = now;
        }
        (Phase::Regaining(n), Event::RouteObserved) if idle => {
            enter(state, Phase::Shifting(n), now);
        }
        (Phase::BackShifting, Event::RouteObserved) if idle => {
            enter(state, Phase::BackDraining, now)
        }
        (Phase::Watching, Event::Watched) if idle => enter(state, Phase::Finishing, now),
        (Phase::ClearingDrain, Event::Drained) if idle => enter(state, Phase::ClearingStop, now),
        (Phase::Draining, Event::Drained) if idle => enter(state, Phase::Retiring, now),
        (Phase::BackDraining, Event::Drained) if idle => enter(state, Phase::BackStopping, now),
        (Phase::Draining | Phase::ClearingDrain | Phase::BackDraining, Event::DrainLimit)
            if idle =>
        {
            let losing = losing_traffic(state);
            state.outstanding.extend(
                losing
                    .into_iter()
                    .map(|(component, revision)| Effect::EndStreams { component, revision }),
            );
        }
        _ => {}
    }
}

/// The judge takes a window in; one that is worse than tolerated turns the release back.
fn counted(state: &mut State, window: &Window, now: u64) {
    if state.judged_ms.is_some_and(|judged| window.end_ms <= judged) {
        return;
    }
    state.judged_ms = Some(window.end_ms);
    state.blind = None;
    state.judge.take(window);
    if let Some(alarm) = state.judge.alarm() {
        turn_back(state, Outcome::TurnedBack { reason: alarm.to_string() }, now);
    }
}

fn inconclusive(state: &mut State, phase: Phase, reason: &str, now: u64) {
    match state.spec.analysis.on_inconclusive {
        OnInconclusive::Pause => {
            state.paused = true;
            state.inconclusive = Some(reason.into());
        }
        OnInconclusive::Promote => match phase {
            Phase::Holding(n) => enter(state, after(state, n), now),
            _ => enter(state, Phase::Finishing, now),
        },
        OnInconclusive::Rollback => {
            let reason = format!("inconclusive, and `on_inconclusive` says rollback: {reason}");
            turn_back(state, Outcome::TurnedBack { reason }, now);
        }
    }
}

fn refused(state: &mut State, phase: Phase, reason: &str, now: u64) {
    // An old process that cannot be retired is reported by `status`; it does not undo a release
    // that has been accepted.
    let accepted = matches!(phase, Phase::Draining | Phase::Retiring | Phase::Recording);
    let reason = reason.to_string();
    let clears = matches!(
        state.outstanding.front(),
        Some(
            Effect::StopRevision { .. }
                | Effect::ApplyManifests { .. }
                | Effect::PruneManifests { .. }
        )
    );
    let routes = matches!(state.outstanding.front(), Some(Effect::Route { .. }));
    let goes_back = phase == Phase::BackShifting || (phase == Phase::BackDraining && routes);
    state.route_refused += u32::from(routes);
    if state.is_turning_back() && clears {
        // Traffic goes back all the same, and whoever comes next is told what still runs.
        let what = format!("not everything of it could be taken away: {reason}");
        state.verdict = Some(Outcome::Stranded { reason: format!("{}\n{what}", why(state)) });
        effect_ended(state, now);
    } else if goes_back && state.route_refused <= GOES_BACK_TRIES {
        // Not ready at that very moment; as soon as it is, it is asked for again.
        enter(state, Phase::BackStarting, now);
    } else if goes_back || phase == Phase::BackStarting {
        cannot_go_back(state, &reason, now);
    } else if phase == Phase::Draining && routes && state.route_refused >= KEEPS_TRIES {
        // It was accepted, and died before the old release was retired, which still stands.
        let reason = format!("the router lost its traffic and cannot give it back: {reason}");
        turn_back(state, Outcome::TurnedBack { reason }, now);
    } else if state.is_turning_back() || accepted {
        // Neither going back nor cleaning up may get stuck on a detail: leave it and go on.
        effect_ended(state, now);
    } else if phase == Phase::Preparing {
        turn_back(state, Outcome::Failed { reason }, now);
    } else {
        turn_back(state, Outcome::TurnedBack { reason }, now);
    }
}

/// The first outstanding effect is over, one way or the other.
fn effect_ended(state: &mut State, now: u64) {
    let ended = state.outstanding.pop_front();
    if !state.outstanding.is_empty() {
        return;
    }
    // What the phase waits for can begin only now.
    state.phase_ms = now;
    // A split that was lost meanwhile is to be observed again.
    let routed = matches!(ended, Some(Effect::Route { .. }));
    if !(routed && state.waits_under_a_split()) {
        after_effects(state, now);
    }
}

/// Somebody drives again. What the phase waits for counts from the last thing on record: nobody looked meanwhile.
/// Where the clock was set back it counts by the new one.
fn took_over(state: &mut State, phase: Phase, now: u64) {
    let away = now as i64 - state.last_ms as i64;
    state.began_ms = state.began_ms.saturating_add_signed(away);
    state.phase_ms = state.phase_ms.saturating_add_signed(away);
    state.judged_ms = state.judged_ms.map(|judged| judged.min(now));
    if let Phase::Shifting(n) | Phase::Holding(n) | Phase::Regaining(n) = phase
        && !state.paused
        && state.spec.has_judge()
    {
        enter(state, Phase::Regaining(n), now);
    }
}

/// The old processes do not come up again. Whatever serves now goes on serving, nothing is
/// stopped, and the operator is told: there is no safer place to go.
fn cannot_go_back(state: &mut State, reason: &str, now: u64) {
    let reason =
        format!("{}\ngoing back failed, everything was left as it was: {reason}", why(state));
    state.verdict = Some(Outcome::Stranded { reason });
    enter(state, Phase::Recording, now);
}

/// Why the release is turned back.
fn why(state: &State) -> &str {
    state.verdict.as_ref().and_then(Outcome::reason).unwrap_or("superseded")
}
