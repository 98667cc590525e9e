//! Nobody drove for a while, a router that forgets, and what an earlier rollout left half-way.

use super::*;
use crate::effect::{Effect, Share, Traffic};
use crate::rollout::{Orphan, Stranded};

fn all_on(revision: &str) -> Traffic {
    let share = Share { revision: RevisionId(revision.into()), weight: 100, canary: false };
    Traffic {
        settings: ReleaseId("r-new".into()),
        shares: [("api".into(), vec![share])].into(),
        mirror: 0,
        header_routes: Vec::new(),
    }
}

#[test]
fn time_that_nobody_drove_counts_neither_for_a_wait_nor_for_the_deadline() {
    let seen = RevisionObserved { wanted: 1, ..RevisionObserved::default() };
    let state = State { last_ms: 3_000, phase_ms: 3_000, ..state_in(Phase::Starting) };
    let starting = seeing("api-new", seen);
    assert!(assess(&state, Some(&starting), 90_000).is_some(), "too late by the clock alone");
    let (state, effects) = step(state, &Event::TookOver, 90_000);
    assert_eq!((assess(&state, Some(&starting), 90_001), effects), (None, vec![]));
    assert!(assess(&state, Some(&starting), 95_000).is_some(), "its own time runs on");
}

#[test]
fn a_clock_that_was_set_back_makes_no_wait_longer() {
    let hour = 3_600_000;
    let state =
        State { last_ms: hour, phase_ms: hour, began_ms: hour, ..state_in(Phase::Watching) };
    let well = RevisionObserved { wanted: 1, ready: 1, ..RevisionObserved::default() };
    let look = Observed { traffic: Some(all_on("api-new")), ..seeing("api-new", well) };
    let state = State { asked: look.traffic.clone(), ..state };
    let (state, _) = step(state, &Event::TookOver, 50);
    assert_eq!(assess(&state, Some(&look), 1_000), None);
    assert_eq!(assess(&state, Some(&look), 1_050), Some(Event::Watched));
}

#[test]
fn nothing_is_drained_while_the_router_says_that_it_sends() {
    let state = State { asked: Some(all_on("api-new")), ..state_in(Phase::Draining) };
    let idle = RevisionObserved { wanted: 1, ready: 1, ..RevisionObserved::default() };
    let forgot = Observed { traffic: Some(all_on("api-old")), ..seeing("api-old", idle.clone()) };
    assert_eq!(assess(&state, Some(&forgot), 100), None, "it may lag for a moment");
    assert_eq!(assess(&state, Some(&forgot), 2_000), Some(Event::RouteLost));
    let (state, effects) = step(state, &Event::RouteLost, 2_000);
    assert_eq!(effects, [Effect::Route { traffic: all_on("api-new") }]);
    let (state, effects) = step(state, &Event::Done, 2_001);
    assert_eq!((state.phase, effects), (Phase::Draining, vec![]));
    let back = Observed { traffic: Some(all_on("api-new")), ..seeing("api-old", idle) };
    assert_eq!(assess(&state, Some(&back), 2_100), Some(Event::RouteObserved));
    let (state, _) = step(state, &Event::RouteObserved, 2_100);
    assert_eq!(assess(&state, Some(&back), 2_101), Some(Event::Drained));
}

/// The router has lost the split and refuses it, as long as `times`.
fn refused(mut state: State, times: usize) -> State {
    for _ in 0..times {
        state = step(state, &Event::RouteLost, 2_000).0;
        state = step(state, &Event::Refused { reason: "no replica is ready".into() }, 2_001).0;
    }
    state
}

#[test]
fn an_accepted_release_that_dies_before_the_old_one_is_retired_is_turned_back() {
    let state = State { asked: Some(all_on("api-new")), ..state_in(Phase::Draining) };
    let state = refused(state, 4);
    assert_eq!((state.phase, &state.verdict), (Phase::Draining, &None), "it may recover");
    let state = refused(state, 1);
    let Some(Outcome::TurnedBack { reason }) = &state.verdict else {
        panic!("{:?}", state.verdict)
    };
    assert_eq!(reason, "the router lost its traffic and cannot give it back: no replica is ready");
    assert_eq!(state.phase, Phase::BackStarting);
}

#[test]
fn an_old_release_that_dies_while_the_new_one_drains_is_waited_for() {
    let state = State {
        asked: Some(all_on("api-old")),
        verdict: Some(Outcome::TurnedBack { reason: "worse".into() }),
        ..state_in(Phase::BackDraining)
    };
    assert_eq!(refused(state, 1).phase, Phase::BackStarting);
}

/// Between two releases whose `api` is the same, after one that was left half-way.
fn after_a_stranded_one(phase: Phase) -> State {
    let mut state = state_in(phase);
    let orphan = |component: &str, port| Orphan {
        component: component.into(),
        port,
        revision: RevisionId(format!("{component}-left")),
    };
    state.spec.stranded =
        Some(Stranded { orphans: vec![orphan("api", true), orphan("worker", false)] });
    state.spec.moves[0].to = state.spec.moves[0].from.clone();
    state
}

#[test]
fn after_a_stranded_release_what_does_not_change_is_started_and_what_is_left_is_stopped() {
    let kinds = |effects: &[Effect]| -> Vec<String> {
        effects
            .iter()
            .map(|effect| match effect {
                Effect::StartRevision { revision, .. } => format!("start {revision}"),
                Effect::StopRevision { revision, .. } => format!("stop {revision}"),
                other => other.kind().into(),
            })
            .collect()
    };
    let entered = |phase, event| step(after_a_stranded_one(phase), &event, 1);
    let mut preparing = after_a_stranded_one(Phase::Preparing);
    preparing.outstanding = [Effect::SealSecrets { release: ReleaseId("r-new".into()) }].into();
    let (state, effects) = step(preparing, &Event::Done, 1);
    assert_eq!((state.phase, kinds(&effects)), (Phase::Starting, vec!["start api-old".into()]));
    let (state, effects) = entered(Phase::Starting, Event::Ready);
    assert_eq!((state.phase, kinds(&effects)), (Phase::Shifting(0), vec!["route".into()]));
    let (state, effects) = entered(Phase::Shifting(0), Event::RouteObserved);
    assert_eq!((state.phase, kinds(&effects)), (Phase::Swapping, vec!["stop worker-left".into()]));
    let (state, effects) = entered(Phase::Draining, Event::Drained);
    assert_eq!((state.phase, kinds(&effects)), (Phase::Retiring, vec!["stop api-left".into()]));
    // There may be traffic on what is to be stopped: never without taking it away first.
    let (state, _) =
        entered(Phase::Starting, Event::Operator { intent: super::super::Intent::Abort });
    assert_eq!(state.phase, Phase::BackStarting);
}
