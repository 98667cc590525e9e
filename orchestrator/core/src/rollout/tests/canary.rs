//! The steps of a canary: what holds one, what ends it, what an operator may say to it.

use super::*;
use crate::config::units::Millis;
use crate::effect::{Effect, Share, Traffic};
use crate::judge::{Counts, OnInconclusive, Sides, Slower, Window};

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
fn a_person_who_takes_longer_than_the_deadline_still_decides() {
    let late = 3_600_000;
    let mut inconclusive = holding(0);
    let undecided = Event::Inconclusive { reason: "nothing was counted".into() };
    (inconclusive, _) = step(inconclusive, &undecided, 1);
    for waiting in [inconclusive, says(holding(0), Intent::Pause, 1)] {
        let promoted = says(waiting, Intent::Promote { full: false }, late);
        assert_eq!((promoted.phase, promoted.paused), (Phase::Shifting(1), false));
        let (shifting, _) = step(promoted, &Event::Done, late + 1);
        // The edge has not reported the new weight yet.
        assert_eq!(assess(&shifting, Some(&ready(split(10))), late + 1), None);
    }
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

/// A driver that dies between asking for a weight and seeing it leaves this behind, once the
/// supervisor has given everything to the old release.
#[test]
fn a_weight_that_was_taken_back_before_it_was_seen_is_asked_for_again() {
    let state = State { asked: Some(split(10)), ..canary() };
    let taken_back = ready(split(0));
    assert_eq!(assess(&state, Some(&taken_back), 1_999), None, "an edge may lag");
    assert_eq!(assess(&state, Some(&taken_back), 2_000), Some(Event::RouteLost));
    let (again, _) = step(state, &Event::RouteLost, 2_000);
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

/// A step that is judged, with its weight observed at time 0.
fn judged() -> State {
    let mut state = canary();
    state.spec.steps[0].analysis = true;
    state.asked = Some(split(10));
    step(state, &Event::RouteObserved, 0).0
}

/// Two seconds of 10 and 90 requests a second.
fn window(end_ms: u64, errors: u64) -> Event {
    let counts = |requests, errors| Counts {
        requests,
        errors,
        latency: [(1_000, requests), (2_000, requests / 2), (4_000, 0)]
            .map(|(bound, slower)| Slower::from((bound, requests, slower)))
            .to_vec(),
        ..Counts::default()
    };
    let sides = Sides { canary: counts(20, errors), stable: counts(180, 0) };
    Event::Counted { window: Window { end_ms, components: [("api".into(), sides)].into() } }
}

#[test]
fn a_judged_step_waits_for_evidence_and_says_how_much_is_missing() {
    let mut state = judged();
    assert_eq!(assess(&state, Some(&ready(split(10))), 5_000), None);
    insta::assert_snapshot!(
        state.waits_for(),
        @"5s at this weight, and for api: nothing was counted yet, at 10 % (step 1 of 3)"
    );
    for end in 1..=20 {
        state = step(state, &window(end * 2_000, 0), end * 2_000).0;
    }
    assert_eq!(assess(&state, Some(&ready(split(10))), 40_000), Some(Event::StepPassed));
}

#[test]
fn a_canary_that_fails_more_often_is_turned_back_with_its_counts() {
    let mut state = judged();
    let mut end = 0;
    while !state.is_turning_back() && end < 60_000 {
        end += 2_000;
        state = step(state, &window(end, 3), end).0;
    }
    let Some(Outcome::TurnedBack { reason }) = &state.verdict else { panic!("{state:?}") };
    assert!(end <= 20_000, "it took {end} ms");
    // How many it takes is the judge's business.
    assert!(reason.starts_with("api has more errors: "), "{reason}");
    assert!(reason.contains("on the new release, 0 of"), "{reason}");
}

#[test]
fn neither_silence_nor_nothing_to_count_moves_a_verdict() {
    let mut state = judged();
    let empty = |end_ms| Event::Counted { window: Window { end_ms, ..Window::default() } };
    for end in 1..=449 {
        state = step(state, &empty(end * 2_000), end * 2_000).0;
        state.spec.deadline_ms = u64::MAX;
        assert_eq!(assess(&state, Some(&ready(split(10))), end * 2_000), None);
    }
    let blind = Event::Blind { reason: "prometheus does not answer".into() };
    state = step(state, &blind, 899_000).0;
    assert!(state.waits_for().contains("prometheus does not answer"), "{}", state.waits_for());
    let event = assess(&state, Some(&ready(split(10))), 900_000);
    let Some(Event::Inconclusive { reason }) = &event else { panic!("{event:?}") };
    insta::assert_snapshot!(
        reason,
        @"nothing to judge by within 15m at 10 %: prometheus does not answer"
    );
}

#[test]
fn counts_of_before_the_split_and_counts_given_twice_are_not_judged() {
    let mut state = judged();
    state.judged_ms = Some(10_000);
    let (early, _) = step(state.clone(), &window(10_000, 20), 10_001);
    assert_eq!(State { last_ms: 0, ..early }, state);
    let (once, _) = step(state, &window(12_000, 1), 12_001);
    let (twice, _) = step(once.clone(), &window(12_000, 1), 12_002);
    assert_eq!(once, State { last_ms: once.last_ms, ..twice });
}

/// The new release is bad and the old one has one of its two replicas.
fn going_back(observed_old: RevisionObserved, weight: u32) -> (State, Observed) {
    let state = says(holding(0), Intent::Abort, 0);
    let state = State { outstanding: Default::default(), ..state };
    assert_eq!(state.phase, Phase::BackStarting);
    let observed = Observed { traffic: Some(split(weight)), ..seeing("api-old", observed_old) };
    (state, observed)
}

#[test]
fn an_old_release_that_serves_takes_over_with_what_is_ready_of_it() {
    let half = RevisionObserved { wanted: 2, alive: 2, ready: 1, ..Default::default() };
    let (state, observed) = going_back(half.clone(), 10);
    assert_eq!(assess(&state, Some(&observed), 1), Some(Event::Ready));

    // One that serves nothing yet is waited for, and not for ever.
    let (state, observed) = going_back(half.clone(), 100);
    assert_eq!(assess(&state, Some(&observed), 1), None);
    assert_eq!(assess(&state, Some(&observed), 5_000), Some(Event::Ready));
    let (state, observed) = going_back(RevisionObserved { crash_loop: true, ..half }, 100);
    assert_eq!(assess(&state, Some(&observed), 1), Some(Event::Ready));

    let none = RevisionObserved { wanted: 2, alive: 2, ready: 0, ..Default::default() };
    let (state, observed) = going_back(none, 10);
    assert_eq!(assess(&state, Some(&observed), 1), None);
}

#[test]
fn a_router_that_refuses_the_way_back_is_asked_again() {
    let (state, _) = going_back(RevisionObserved::default(), 10);
    let (mut state, _) = step(state, &Event::Ready, 1);
    let refused = Event::Refused { reason: "no replica of api-old is ready".into() };
    state = step(state, &refused, 2).0;
    assert_eq!(state.phase, Phase::BackStarting);
    assert!(matches!(state.verdict, Some(Outcome::Aborted { .. })));
}

#[test]
fn a_pause_does_not_keep_an_unhealthy_canary() {
    let paused = says(holding(0), Intent::Pause, 1);
    assert_eq!(assess(&paused, Some(&ready(split(10))), 1_000_000), None);
    let seen = RevisionObserved { wanted: 1, alive: 0, ready: 0, ..Default::default() };
    let event = assess(&paused, Some(&seeing("api-new", seen)), 2).expect("it lost readiness");
    assert!(step(paused, &event, 3).0.is_turning_back());
}
