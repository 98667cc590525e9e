//! Objects of the user's own in a rollout: before the first process, after the last request, and taken back.

use super::state_in;
use crate::effect::{Effect, Outcome};
use crate::rollout::{Event, Manifests, Phase, State, step};

fn rollout(alone: bool) -> State {
    let mut state = state_in(Phase::New);
    state.spec.manifests = Some(Manifests { alone });
    if alone {
        state.spec.moves.clear();
    }
    step(state, &Event::Began, 0).0
}

fn due(state: &State) -> Vec<&'static str> {
    state.outstanding.iter().map(Effect::kind).collect()
}

fn after(state: State, event: Event) -> State {
    step(state, &event, 1).0
}

#[test]
fn where_nothing_else_changes_no_process_and_no_route_is_touched() {
    let state = rollout(true);
    assert_eq!(due(&state), ["apply_manifests"]);
    let state = after(state, Event::Done);
    assert_eq!(due(&state), ["prune_manifests"]);
    let state = after(state, Event::Done);
    assert_eq!(due(&state), ["record"]);
    assert_eq!(after(state, Event::Done).outcome(), Some(Outcome::Deployed));
}

#[test]
fn processes_find_their_objects_there_and_old_ones_keep_theirs_to_the_end() {
    let state = rollout(false);
    assert_eq!(due(&state), ["store_artifact", "seal_secrets", "apply_manifests"]);
    let mut retiring = State { phase: Phase::Draining, ..state };
    retiring.outstanding.clear();
    assert_eq!(due(&after(retiring, Event::Drained)), ["keep_warm", "prune_manifests"]);
}

#[test]
fn what_is_not_as_it_was_planned_ends_as_stale_with_everything_taken_back() {
    let state = after(rollout(true), Event::Outdated { reason: "a changed".into() });
    assert_eq!(due(&state), ["apply_manifests", "prune_manifests"]);
    for effect in &state.outstanding {
        let (Effect::ApplyManifests { release } | Effect::PruneManifests { release }) = effect
        else {
            panic!("{effect:?}")
        };
        assert_eq!(*release, state.spec.previous, "towards the release in force");
    }
    let state = after(after(after(state, Event::Done), Event::Done), Event::Done);
    assert_eq!(state.outcome(), Some(Outcome::Outdated { reason: "a changed".into() }));
}

#[test]
fn what_cannot_be_taken_back_is_told() {
    let state = after(rollout(true), Event::Refused { reason: "no".into() });
    let state = after(state, Event::Refused { reason: "forbidden".into() });
    let state = after(after(state, Event::Done), Event::Done);
    let Some(Outcome::Stranded { reason }) = state.outcome() else {
        panic!("{:?}", state.outcome())
    };
    assert!(reason.contains("not everything of it could be taken away: forbidden"), "{reason}");
}
