//! Objects of the user's own in a rollout: before the first process, after the last request, and taken back.

use super::state_in;
use crate::effect::{Effect, Outcome};
use crate::manifests::Id;
use crate::observed::{Observed, RevisionObserved, Trouble, WorkloadObserved};
use crate::rollout::{Event, Manifests, Phase, State, assess, step};

fn rollout(alone: bool) -> State {
    let mut state = state_in(Phase::New);
    state.spec.manifests = Some(Manifests { alone, awaited: Vec::new() });
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

fn deployment(name: &str) -> Id {
    Id {
        group: "apps".into(),
        kind: "Deployment".into(),
        namespace: Some("n".into()),
        name: name.into(),
    }
}

fn seen(name: &str) -> WorkloadObserved {
    WorkloadObserved {
        id: deployment(name),
        wanted: 2,
        ready: 0,
        is_ready: false,
        is_hopeless: false,
        trouble: None,
    }
}

/// After everything was written, with two workloads that have to be ready.
fn waiting(alone: bool) -> State {
    let mut state = state_in(Phase::New);
    let awaited = vec![deployment("a"), deployment("b")];
    state.spec.manifests = Some(Manifests { alone, awaited });
    if alone {
        state.spec.moves.clear();
    }
    let mut state = after(state, Event::Began);
    while !state.outstanding.is_empty() {
        state = after(state, Event::Done);
    }
    assert_eq!(state.phase, Phase::Starting);
    state
}

fn look(state: &State, workloads: Vec<WorkloadObserved>, at_ms: u64) -> Option<Event> {
    assess(state, Some(&Observed { workloads, ..Observed::default() }), at_ms)
}

#[test]
fn nothing_is_pruned_before_the_workloads_of_manifests_are_ready() {
    let state = waiting(true);
    let ready = |name| WorkloadObserved { ready: 2, is_ready: true, ..seen(name) };
    assert_eq!(look(&state, vec![ready("a")], 2), None, "one of them has not been seen");
    assert_eq!(look(&state, vec![ready("a"), seen("b")], 2), None);
    assert_eq!(look(&state, vec![ready("a"), ready("b")], 2), Some(Event::Ready));
    let state = after(state, Event::Ready);
    assert_eq!(due(&state), ["prune_manifests"]);
}

#[test]
fn processes_get_no_traffic_before_the_workloads_of_manifests_are_ready() {
    let state = waiting(false);
    let replica = RevisionObserved { wanted: 1, alive: 1, ready: 1, ..Default::default() };
    let revisions = state.spec.moves.iter().filter_map(|m| Some((m.to.clone()?, replica.clone())));
    let mut observed = Observed { revisions: revisions.collect(), ..Observed::default() };
    observed.workloads = vec![seen("a"), seen("b")];
    assert_eq!(assess(&state, Some(&observed), 2), None);
    observed.workloads.iter_mut().for_each(|workload| workload.is_ready = true);
    assert_eq!(assess(&state, Some(&observed), 2), Some(Event::Ready));
}

#[test]
fn a_workload_without_hope_turns_the_release_back_with_its_evidence() {
    let state = waiting(true);
    let trouble = Trouble {
        what: "exited with status 3".into(),
        log_lines: vec!["no database".into()],
        ..Trouble::default()
    };
    let lost = WorkloadObserved { is_hopeless: true, trouble: Some(trouble), ..seen("b") };
    let Some(Event::Unhealthy { reason }) = look(&state, vec![seen("a"), lost], 2) else {
        panic!("it waits on")
    };
    assert_eq!(
        reason,
        "Deployment n/b will not become ready: exited with status 3\n  | no database"
    );
    let state = after(state, Event::Unhealthy { reason });
    assert_eq!(due(&state), ["apply_manifests", "prune_manifests"], "taken back");
}

#[test]
fn what_has_kept_a_workload_until_the_deadline_is_told() {
    let state = waiting(true);
    let trouble = Trouble { what: "cannot be scheduled: 0/1 nodes".into(), ..Trouble::default() };
    let stuck = WorkloadObserved { trouble: Some(trouble), ..seen("a") };
    let late = state.began_ms + state.spec.deadline_ms;
    let Some(Event::Unhealthy { reason }) = look(&state, vec![stuck, seen("b")], late) else {
        panic!("it waits on")
    };
    assert!(
        reason.starts_with("Deployment n/a was not ready within the rollout's deadline")
            && reason.contains("0/1 nodes"),
        "{reason}"
    );
}
