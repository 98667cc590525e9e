//! Which pairs of state and event can be met at all: the machine is let loose on every event that
//! an engine may feed it, over plans of every shape, until nothing new is found.

use std::collections::{BTreeSet, HashSet};

use neuroca_deploy_core::effect::{Effect, Outcome, Traffic};
use neuroca_deploy_core::judge::{Counts, Sides, Window};
use neuroca_deploy_core::observed::{Observed, RevisionObserved};
use neuroca_deploy_core::rollout::{Event, Intent, Phase, Spec, State, assess, step};

use crate::catalogue::{
    DEADLINE_MS, DECIDE_WITHIN_MS, DRAIN_MS, Made, START_TIMEOUT_MS, STEPS, WATCH_MS, built, spec,
};
use crate::coverage::{Coverage, Pair};
use crate::script::{Change, Undecided, Way};

/// Every pair that can be met.
pub fn reachable() -> BTreeSet<Pair> {
    let mut coverage = Coverage::default();
    for spec in specs() {
        explore(spec, &mut coverage);
    }
    coverage.pairs()
}

fn specs() -> Vec<Spec> {
    let mut specs = Vec::new();
    let undecided = [Undecided::Pause, Undecided::Promote, Undecided::Rollback];
    let canaries = (0..STEPS).flat_map(|steps| undecided.map(|on| (Way::Canary, steps, on)));
    let others = [Way::BlueGreen, Way::Recreate].map(|way| (way, 0, Undecided::Pause));
    for (way, steps, on_inconclusive) in canaries.chain(others) {
        for (hooks, warm) in [(true, true), (false, false)] {
            let versions = [1, 1, 1];
            let first =
                Made { way, steps, on_inconclusive, hooks, warm, versions, replicas: 1, label: 0 };
            let old = built(first);
            specs.push(spec(None, &[], &old, false));
            let changes = [
                Change::Everything,
                Change::OnlyWorker,
                Change::Scaled,
                Change::WebComesOrGoes,
                Change::Relabelled,
            ];
            for change in changes {
                let new = built(first.next(change, 1));
                specs.push(spec(Some(&old), &[], &new, false));
                specs.push(spec(Some(&new), &[], &old, true));
                specs.push(spec(Some(&old), std::slice::from_ref(&new), &old, false));
            }
        }
    }
    specs
}

fn explore(spec: Spec, coverage: &mut Coverage) {
    let mut known = HashSet::new();
    let mut open = vec![State::new(spec)];
    while let Some(state) = open.pop() {
        for (began_ms, phase_ms, now, event) in events(&state) {
            coverage.meet(&state, &event);
            let mut next = State { began_ms, phase_ms, ..state.clone() };
            next = forget(step(next, &event, now).0);
            if matches!(event, Event::Counted { .. }) && next.phase != Phase::Finished {
                // Windows that came together are all taken in, also when the first one decides.
                coverage.meet(&next, &event);
            }
            let key = (
                next.phase,
                next.outstanding.len(),
                next.outstanding.front().map(Effect::kind),
                (next.paused, next.inconclusive.is_some(), next.promoted, next.lost),
                (next.judged_ms.is_some(), next.acceptance(next.step().unwrap_or(0))),
                next.verdict.as_ref().map(Outcome::word),
                next.asked.as_ref().map(|traffic| format!("{:?}", traffic.shares)),
            );
            if next.phase != Phase::Finished && known.insert(format!("{key:?}")) {
                open.push(next);
            }
        }
    }
}

/// The state without times and words, which only make it longer.
fn forget(mut state: State) -> State {
    (state.began_ms, state.phase_ms, state.last_ms) = (0, 0, 0);
    let reason = String::new();
    state.verdict = state.verdict.map(|verdict| match verdict {
        Outcome::TurnedBack { .. } => Outcome::TurnedBack { reason },
        Outcome::Failed { .. } => Outcome::Failed { reason },
        Outcome::Aborted { .. } => Outcome::Aborted { reason },
        Outcome::Stranded { .. } => Outcome::Stranded { reason },
        other => other,
    });
    state
}

/// What an engine may feed the machine in this state, and when.
fn events(state: &State) -> Vec<(u64, u64, u64, Event)> {
    if state.phase == Phase::New {
        return vec![(0, 0, 0, Event::Began)];
    }
    let mut events: Vec<(u64, u64, u64, Event)> = Vec::new();
    let intents = [
        Intent::Pause,
        Intent::Resume,
        Intent::Promote { full: false },
        Intent::Promote { full: true },
        Intent::Abort,
        Intent::Rollback,
        Intent::Supersede,
    ];
    events.extend(intents.map(|intent| (0, 0, 0, Event::Operator { intent })));
    // Counts come when nothing is to be done, and a successor comes whenever it comes.
    if state.is_judging() && state.outstanding.is_empty() {
        events.extend(windows(state).map(|window| (0, 0, 0, Event::Counted { window })));
        events.push((0, 0, 0, Event::Blind { reason: String::new() }));
    }
    events.push((0, 0, 0, Event::TookOver));
    if let Some(effect) = state.outstanding.front() {
        if state.paused {
            return events;
        }
        events.push((0, 0, 0, Event::Done));
        // The store writes the end or fails; it does not refuse.
        if !matches!(effect, Effect::Record { .. }) {
            events.push((0, 0, 0, Event::Refused { reason: String::new() }));
        }
        return events;
    }
    let looks = looks(state);
    for now in [0, WATCH_MS, DRAIN_MS, START_TIMEOUT_MS, DECIDE_WITHIN_MS, DEADLINE_MS] {
        for phase_ms in [0, now] {
            let timed = State { began_ms: 0, phase_ms, ..state.clone() };
            for look in looks.iter().map(Some).chain([None]) {
                if let Some(event) = assess(&timed, look, now) {
                    let known = |e: &(u64, u64, u64, Event)| {
                        std::mem::discriminant(&e.3) == std::mem::discriminant(&event)
                    };
                    if !events.iter().any(known) {
                        events.push((0, phase_ms, now, event));
                    }
                }
            }
        }
    }
    events
}

/// What may be counted: nothing, enough to accept, enough to find worse.
fn windows(state: &State) -> impl Iterator<Item = Window> {
    let end_ms = state.judged_ms.unwrap_or_default() + 1;
    [(0, 0), (1_000, 0), (1_000, 900)].into_iter().map(move |(requests, errors)| {
        let canary = Counts { requests, errors, ..Counts::default() };
        let stable = Counts { requests, ..Counts::default() };
        let sides = Sides { canary, stable };
        let compared = state.spec.compared().into_iter();
        let components = compared.map(|pair| (pair.component, sides.clone())).collect();
        Window { end_ms, components }
    })
}

/// What may be seen. The machine asks whether all or any revisions are so: looks in which all are
/// alike answer every such question.
fn looks(state: &State) -> Vec<Observed> {
    let moves = &state.spec.moves;
    let names = moves.iter().flat_map(|m| m.from.iter().chain(&m.to));
    let names: BTreeSet<_> = names.cloned().collect();
    let mut looks = vec![Observed::default()];
    let other = state.asked.clone().map(|asked| Traffic { mirror: asked.mirror + 1, ..asked });
    let fates = [(true, false), (false, false), (false, true)];
    for (ready, crash_loop) in fates {
        for in_flight in [0, 1] {
            for traffic in [None, state.asked.clone(), other.clone()] {
                let seen = RevisionObserved {
                    wanted: 1,
                    ready: u32::from(ready),
                    crash_loop,
                    in_flight,
                    ..Default::default()
                };
                let revisions = names.iter().map(|id| (id.clone(), seen.clone())).collect();
                looks.push(Observed { revisions, traffic, ..Observed::default() });
            }
        }
    }
    looks
}
