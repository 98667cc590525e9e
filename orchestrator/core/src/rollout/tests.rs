//! The rules that a simulated world cannot show one by one. Whole histories are in the engine's
//! tests, which drive this same machine.

mod canary;
mod manifests;
mod silence;

use super::*;
use crate::config::model::{Step, Strategy};
use crate::effect::Outcome;
use crate::judge::Analysis;
use crate::observed::{Observed, RevisionObserved, Trouble};
use crate::release::{ReleaseId, RevisionId};

fn state_in(phase: Phase) -> State {
    let old_to_new = Move {
        component: "api".into(),
        port: true,
        from: Some(RevisionId("api-old".into())),
        to: Some(RevisionId("api-new".into())),
        replicas: (1, 1),
        drain_ms: 10_000,
        start_timeout_ms: 5_000,
        migrate: false,
        hooks: Vec::new(),
    };
    let spec = Spec {
        release: ReleaseId("r-new".into()),
        previous: Some(ReleaseId("r-old".into())),
        strategy: Strategy::BlueGreen,
        moves: vec![old_to_new],
        steps: vec![Step::weight(100)],
        analysis: Analysis::default(),
        watch_ms: 1_000,
        deadline_ms: 60_000,
        rollback_window_ms: 60_000,
        rollback: false,
        stranded: None,
        manifests: None,
    };
    State { phase, ..State::new(spec) }
}

fn seeing(revision: &str, seen: RevisionObserved) -> Observed {
    Observed { revisions: [(RevisionId(revision.into()), seen)].into(), ..Observed::default() }
}

#[test]
fn no_data_moves_no_verdict_until_the_deadline() {
    for phase in [Phase::Starting, Phase::Watching, Phase::Draining, Phase::BackDraining] {
        assert_eq!(assess(&state_in(phase), None, 59_999), None, "{phase:?}");
    }
    let unseen = Observed::default();
    assert_eq!(assess(&state_in(Phase::Watching), Some(&unseen), 59_999), None);
    let at_deadline = assess(&state_in(Phase::Watching), None, 60_000);
    assert!(matches!(at_deadline, Some(Event::Inconclusive { .. })), "{at_deadline:?}");
}

#[test]
fn a_release_that_was_accepted_is_not_turned_back_by_a_slow_drain() {
    let busy = seeing("api-old", RevisionObserved { in_flight: 1, ..Default::default() });
    let mut state = state_in(Phase::Draining);
    state.phase_ms = 59_000;
    assert_eq!(assess(&state, Some(&busy), 61_000), None);
    assert_eq!(assess(&state, Some(&busy), 69_000), Some(Event::DrainLimit));
}

#[test]
fn the_start_deadline_tells_what_was_last_seen() {
    let trouble = Trouble {
        what: "GET /health/ready: 404 Not Found".into(),
        body: Some("no such page".into()),
        log_lines: vec!["listening on 8080".into()],
    };
    let seen = RevisionObserved { wanted: 1, trouble: Some(trouble), ..Default::default() };
    let event = assess(&state_in(Phase::Starting), Some(&seeing("api-new", seen)), 5_000);
    let Some(Event::Unhealthy { reason }) = event else { panic!("{event:?}") };
    insta::assert_snapshot!(reason, @r"
    api was not ready within 5 s: GET /health/ready: 404 Not Found
      answer: no such page
      | listening on 8080
    ");
}

#[test]
fn a_pause_stops_every_timer_and_a_resume_gives_the_time_back() {
    let pause = Event::Operator { intent: Intent::Pause };
    let (paused, _) = step(state_in(Phase::Watching), &pause, 500);
    assert_eq!(assess(&paused, None, 1_000_000), None);
    let (resumed, _) = step(paused, &Event::Operator { intent: Intent::Resume }, 1_000_000);
    assert_eq!(resumed.phase_ms, 1_000_000);
    assert_eq!(assess(&resumed, None, 1_000_500), None);
}

#[test]
fn every_intent_to_stop_wins_until_the_old_release_is_being_retired() {
    let undecided =
        [Phase::Preparing, Phase::Starting, Phase::Shifting(0), Phase::Watching, Phase::Draining];
    for phase in undecided {
        for intent in [Intent::Abort, Intent::Rollback, Intent::Supersede] {
            let (state, _) = step(state_in(phase), &Event::Operator { intent }, 1);
            assert!(state.is_turning_back(), "{phase:?}");
        }
    }
    let abort = Event::Operator { intent: Intent::Abort };
    let (late, effects) = step(state_in(Phase::Retiring), &abort, 1);
    assert!(!late.is_turning_back() && effects.is_empty());
}

#[test]
fn when_the_old_release_cannot_come_back_nothing_is_stopped() {
    let mut state = state_in(Phase::BackStarting);
    state.verdict = Some(Outcome::TurnedBack { reason: "api lost readiness".into() });
    let (state, effects) =
        step(state, &Event::Unhealthy { reason: "api keeps crashing".into() }, 1);
    assert!(matches!(state.verdict, Some(Outcome::Stranded { .. })));
    assert!(matches!(effects.as_slice(), [crate::effect::Effect::Record { .. }]));
}
