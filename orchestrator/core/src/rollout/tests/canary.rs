//! The steps of a canary: what holds one, what ends it, what an operator may say to it.

use super::*;
use crate::config::units::Millis;
use crate::effect::{Effect, Share, Traffic};
use crate::judge::OnInconclusive;

/// 10 % for five seconds, 50 % behind a gate, everything. Not judged unless a test says so.
fn canary() -> State {
    let mut state = state_in(Phase::Shifting(0));
    state.spec.strategy = Strategy::Canary;
    state.spec.steps = vec![
        Step { pause: Millis(5_000), ..Step::weight(10) },
        Step { gate: true, ..Step::weight(50) },
        Step::weight(100),
    ];
    state
}

fn holding(n: usize) -> State {
    let state = State { phase: Phase::Shifting(n), ..canary() };
    let traffic = split(u32::from(state.spec.steps[n].weight));
    let state = State { asked: Some(traffic), ..state };
    let (state, _) = step(state, &Event::RouteObserved, 0);
    assert_eq!(state.phase, Phase::Holding(n));
    state
}

fn split(weight: u32) -> Traffic {
    let share = |name: &str, weight, canary| Share {
        revision: RevisionId(format!("api-{name}")),
        weight,
        canary,
    };
    let both = vec![share("old", 100 - weight, false), share("new", weight, true)];
    Traffic {
        settings: ReleaseId("r-old".into()),
        shares: [("api".to_string(), both)].into(),
        mirror: 0,
        header_routes: Vec::new(),
    }
}

fn ready(traffic: Traffic) -> Observed {
    let seen = RevisionObserved { wanted: 1, alive: 1, ready: 1, ..Default::default() };
    Observed { traffic: Some(traffic), ..seeing("api-new", seen) }
}

fn says(state: State, intent: Intent, now: u64) -> State {
    step(state, &Event::Operator { intent }, now).0
}

/// The weights that an effect asks for, old and new.
fn weights(state: &State) -> Vec<u32> {
    match state.outstanding.front() {
        Some(Effect::Route { traffic }) => traffic.shares["api"].iter().map(|s| s.weight).collect(),
        other => panic!("no route is due: {other:?}"),
    }
}

#[test]
fn a_step_is_left_when_its_time_has_passed() {
    let state = holding(0);
    assert_eq!(assess(&state, Some(&ready(split(10))), 4_999), None);
    assert_eq!(assess(&state, Some(&ready(split(10))), 5_000), Some(Event::StepPassed));
    let (next, _) = step(state, &Event::StepPassed, 5_000);
    assert_eq!((next.phase, weights(&next)), (Phase::Shifting(1), vec![50, 50]));
}

#[test]
fn a_gate_waits_for_a_person_even_past_the_deadline() {
    let state = holding(1);
    assert_eq!(assess(&state, Some(&ready(split(50))), 3_600_000), None);
    assert!(state.waits_for_a_person(0).is_some_and(|what| what.contains("gate")));
    let opened = says(state, Intent::Promote { full: false }, 3_600_000);
    assert_eq!((opened.phase, weights(&opened)), (Phase::Shifting(2), vec![100]));
    // The time at the gate does not count.
    assert_eq!(opened.began_ms, 3_600_000);
}

#[test]
fn promote_skips_a_step_and_full_skips_all() {
    let next = says(holding(0), Intent::Promote { full: false }, 1);
    assert_eq!(next.phase, Phase::Shifting(1));
    let last = says(holding(0), Intent::Promote { full: true }, 1);
    assert_eq!((last.phase, weights(&last)), (Phase::Shifting(2), vec![100]));
}

#[test]
fn promote_before_the_weight_is_observed_counts_for_that_step_alone() {
    let mut state = canary();
    state.asked = Some(split(10));
    let state = says(state, Intent::Promote { full: false }, 1);
    let (state, _) = step(state, &Event::RouteObserved, 2);
    assert_eq!(assess(&state, Some(&ready(split(10))), 3), Some(Event::StepPassed));
    let (state, _) = step(state, &Event::StepPassed, 3);
    assert!(!state.promoted);
}

#[test]
fn a_canary_that_loses_readiness_is_turned_back() {
    let seen = RevisionObserved { wanted: 2, alive: 2, ready: 1, ..Default::default() };
    let event = assess(&holding(0), Some(&seeing("api-new", seen)), 1);
    let Some(Event::Unhealthy { reason }) = &event else { panic!("{event:?}") };
    assert_eq!(reason, "api lost readiness (1 of 2 ready)");
}

#[test]
fn a_split_that_is_gone_is_set_again() {
    let state = holding(0);
    let event = assess(&state, Some(&ready(split(0))), 1);
    assert_eq!(event, Some(Event::RouteLost));
    let (again, _) = step(state, &Event::RouteLost, 1);
    assert_eq!((again.phase, weights(&again)), (Phase::Shifting(0), vec![90, 10]));
}

#[test]
fn after_a_silent_driver_the_old_release_has_everything_before_the_step_begins_again() {
    let mut state = holding(0);
    state.spec.steps[0].analysis = true;
    let (back, _) = step(state, &Event::TookOver, 20_000);
    assert_eq!((back.phase, weights(&back)), (Phase::Regaining(0), vec![100, 0]));
    let (back, _) = step(back, &Event::Done, 20_001);
    let (again, _) = step(back, &Event::RouteObserved, 20_002);
    assert_eq!((again.phase, weights(&again)), (Phase::Shifting(0), vec![90, 10]));
}

#[test]
fn a_deadline_without_a_verdict_is_inconclusive() {
    let mut state = holding(0);
    state.spec.steps[0].pause = Millis(120_000);
    let event = assess(&state, None, 60_000).expect("the deadline has passed");
    assert!(matches!(event, Event::Inconclusive { .. }), "{event:?}");

    let (paused, effects) = step(state.clone(), &event, 60_000);
    assert!(paused.paused && effects.is_empty());
    assert!(paused.waits_for_a_person(60_000).is_some_and(|what| what.contains("inconclusive")));
    let promoted = says(paused.clone(), Intent::Promote { full: false }, 70_000);
    assert_eq!(promoted.phase, Phase::Shifting(1));
    assert!(says(paused, Intent::Abort, 70_000).is_turning_back());

    state.spec.analysis.on_inconclusive = OnInconclusive::Promote;
    assert_eq!(step(state.clone(), &event, 60_000).0.phase, Phase::Shifting(1));
    state.spec.analysis.on_inconclusive = OnInconclusive::Rollback;
    assert!(step(state, &event, 60_000).0.is_turning_back());
}

#[test]
fn of_opposite_intents_the_one_that_stops_wins() {
    let [promote, abort] = [Intent::Promote { full: true }, Intent::Abort];
    let first = says(says(holding(0), promote.clone(), 1), abort.clone(), 1);
    let second = says(says(holding(0), abort, 1), promote, 1);
    for state in [first, second] {
        assert!(state.is_turning_back());
        assert_eq!(state.phase, Phase::BackStarting);
    }
}
