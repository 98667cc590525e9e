//! What each phase does to the world. Which phase comes when is not decided here.

use std::collections::BTreeMap;

use super::spec::{Move, Spec};
use super::state::{Phase, State};
use crate::config::model::{Step, Strategy};
use crate::effect::{Effect, Hook, Outcome, Share, Traffic};
use crate::manifests::Id;
use crate::release::{ReleaseId, RevisionId};

/// The effects that a phase begins with, in order.
pub(super) fn effects_of(state: &State) -> Vec<Effect> {
    let spec = &state.spec;
    match state.phase {
        Phase::Preparing => preparing(spec),
        Phase::Clearing => vec![spec.route(None, &Step::weight(0), Named::Neither)],
        Phase::ClearingStop => spec.leaving(true).map(stop_revision).collect(),
        Phase::Starting => starting(spec),
        // `recreate` has stopped the old revisions by now: only the new ones may be named.
        Phase::Previewing if spec.strategy_stops_first() => {
            vec![spec.route(spec.previous.as_ref(), &Step::weight(0), Named::New)]
        }
        Phase::Previewing | Phase::Regaining(_) => {
            vec![spec.route(spec.previous.as_ref(), &Step::weight(0), Named::Both)]
        }
        Phase::Testing => spec.hooks(Hook::SmokeTest),
        Phase::Shifting(n) => {
            let step = &spec.steps[n];
            let settings = if step.weight == 100 { None } else { spec.previous.as_ref() };
            vec![spec.route(settings, step, Named::Both)]
        }
        Phase::Swapping => swapping(spec),
        Phase::Finishing => spec.hooks(Hook::PostDeploy),
        Phase::Retiring => retiring(spec),
        Phase::Recording => vec![Effect::Record {
            release: spec.release.clone(),
            outcome: state.verdict.clone().unwrap_or(Outcome::Deployed),
        }],
        Phase::BackStarting => back_starting(spec),
        Phase::BackShifting => {
            vec![spec.route(spec.previous.as_ref(), &Step::weight(0), Named::Old)]
        }
        Phase::BackStopping => back_stopping(spec),
        Phase::New
        | Phase::ClearingDrain
        | Phase::Holding(_)
        | Phase::Watching
        | Phase::Draining
        | Phase::BackDraining
        | Phase::Finished => Vec::new(),
    }
}

fn preparing(spec: &Spec) -> Vec<Effect> {
    let release = || spec.release.clone();
    if spec.manifests_alone() {
        return spec.apply_manifests(Some(&spec.release)).collect();
    }
    let anew = spec.stranded.is_some();
    let new = spec.moves.iter().filter(|m| m.is_new() || (anew && m.to.is_some()));
    let new: Vec<&Move> = new.collect();
    let mut effects: Vec<Effect> = new
        .iter()
        .map(|m| Effect::StoreArtifact { release: release(), component: m.component.clone() })
        .collect();
    // Also when only a number of replicas changes: processes are started from this release's record.
    if spec.moves.iter().any(|m| m.to.is_some()) {
        effects.push(Effect::SealSecrets { release: release() });
    }
    // What processes, hooks and migrations may need.
    effects.extend(spec.apply_manifests(Some(&spec.release)));
    effects.extend(spec.hooks(Hook::PreDeploy));
    effects.extend(
        new.iter()
            .filter(|m| m.migrate)
            .map(|m| Effect::Migrate { release: release(), component: m.component.clone() }),
    );
    effects
}

fn starting(spec: &Spec) -> Vec<Effect> {
    spec.moves
        .iter()
        .filter(|m| spec.is_started_first(m))
        .map(|m| spec.start(&spec.release, m, m.to.as_ref()))
        .collect()
}

fn swapping(spec: &Spec) -> Vec<Effect> {
    let stopped = spec.leaving(false).chain(spec.orphans(false));
    let mut effects: Vec<Effect> = stopped.map(stop_revision).collect();
    effects.extend(spec.swapped().map(|m| spec.start(&spec.release, m, m.to.as_ref())));
    effects
}

fn retiring(spec: &Spec) -> Vec<Effect> {
    let warm = spec.leaving(true).map(|(component, revision)| match spec.rollback_window_ms {
        0 => Effect::StopRevision { component, revision },
        for_ms => Effect::KeepWarm { component, revision, for_ms },
    });
    let mut effects: Vec<Effect> = warm.chain(spec.orphans(true).map(stop_revision)).collect();
    // The old processes may have needed them until now.
    effects.extend(spec.prune_manifests(Some(&spec.release)));
    effects
}

/// Everything of the old release that may have been stopped or scaled is brought back first.
fn back_starting(spec: &Spec) -> Vec<Effect> {
    let Some(previous) = &spec.previous else { return Vec::new() };
    let mut effects: Vec<Effect> = spec.apply_manifests(Some(previous)).collect();
    effects.extend(spec.orphans(false).map(stop_revision));
    for m in spec.starting(false) {
        if let Some(to) = &m.to {
            effects.push(stop_revision((m.component.clone(), to.clone())));
        }
    }
    effects.extend(
        spec.moves
            .iter()
            .filter(|m| spec.returns(m) || m.is_scaled())
            .map(|m| spec.start(previous, m, m.from.as_ref())),
    );
    effects
}

fn back_stopping(spec: &Spec) -> Vec<Effect> {
    spec.moves
        .iter()
        .filter(|m| m.is_new())
        .filter_map(|m| Some((m.component.clone(), m.to.clone()?)))
        .chain(spec.orphans(true))
        .map(stop_revision)
        // Once more: from some phases this is the only one on the way back.
        .chain(spec.apply_manifests(spec.previous.as_ref()))
        .chain(spec.prune_manifests(spec.previous.as_ref()))
        .collect()
}

fn stop_revision((component, revision): (String, RevisionId)) -> Effect {
    Effect::StopRevision { component, revision }
}

/// The revisions that have just lost their traffic.
pub(super) fn losing_traffic(state: &State) -> Vec<(String, RevisionId)> {
    let (spec, orphans) = (&state.spec, state.spec.orphans(true));
    if state.is_turning_back() {
        let new = spec.starting(true);
        let new = new.filter_map(|m| Some((m.component.clone(), m.to.clone()?)));
        return new.chain(orphans).collect();
    }
    spec.leaving(true).chain(orphans).collect()
}

impl State {
    /// The revisions whose requests the machine waits for to end.
    pub fn draining(&self) -> Vec<RevisionId> {
        losing_traffic(self).into_iter().map(|(_, revision)| revision).collect()
    }
}

/// Which of the revisions that change a split names.
#[derive(Clone, Copy)]
enum Named {
    Both,
    Old,
    New,
    Neither,
}

impl Spec {
    /// Whether old processes are stopped before new ones are started.
    pub(super) fn strategy_stops_first(&self) -> bool {
        self.strategy == Strategy::Recreate && self.leaving(true).next().is_some()
    }

    fn leaving(&self, port: bool) -> impl Iterator<Item = (String, RevisionId)> {
        self.moves
            .iter()
            .filter(move |m| m.port == port)
            .filter_map(|m| Some((m.component.clone(), m.leaving()?.clone())))
    }

    fn hooks(&self, hook: Hook) -> Vec<Effect> {
        self.moves
            .iter()
            .filter(|m| m.hooks.contains(&hook))
            .map(|m| Effect::RunHook {
                release: self.release.clone(),
                component: m.component.clone(),
                hook,
            })
            .collect()
    }

    /// Whether objects of the user's own are all that changes.
    pub(super) fn manifests_alone(&self) -> bool {
        self.manifests.as_ref().is_some_and(|manifests| manifests.alone)
    }

    /// The workloads of the user's own that have to be ready.
    pub fn awaited(&self) -> &[Id] {
        self.manifests.as_ref().map_or(&[], |manifests| &manifests.awaited)
    }

    fn apply_manifests(&self, release: Option<&ReleaseId>) -> impl Iterator<Item = Effect> {
        let release = release.cloned();
        self.manifests.iter().map(move |_| Effect::ApplyManifests { release: release.clone() })
    }

    fn prune_manifests(&self, release: Option<&ReleaseId>) -> impl Iterator<Item = Effect> {
        let release = release.cloned();
        self.manifests.iter().map(move |_| Effect::PruneManifests { release: release.clone() })
    }

    fn start(&self, release: &ReleaseId, m: &Move, revision: Option<&RevisionId>) -> Effect {
        Effect::StartRevision {
            release: release.clone(),
            component: m.component.clone(),
            revision: revision.expect("only moves with a revision are started").clone(),
        }
    }

    /// The split of `step`. A new revision without weight is named so that it can be previewed.
    /// Components that do not change keep their traffic throughout; one that goes keeps it until
    /// the last step, and one that is new has nobody to share with.
    fn route(&self, settings: Option<&ReleaseId>, step: &Step, named: Named) -> Effect {
        let mut traffic = Traffic {
            settings: settings.unwrap_or(&self.release).clone(),
            shares: BTreeMap::new(),
            mirror: step.mirror,
            header_routes: step.header_routes.clone(),
        };
        let weight = u32::from(step.weight);
        let (old, new) = match named {
            Named::Both => (weight < 100, true),
            Named::Old => (true, false),
            Named::New => (false, true),
            Named::Neither => (false, false),
        };
        for m in self.moves.iter().filter(|m| m.port) {
            let share = |revision: &RevisionId, weight, canary| Share {
                revision: revision.clone(),
                weight,
                canary,
            };
            let shares: Vec<Share> = match (&m.from, &m.to) {
                (Some(from), Some(to)) if from == to => vec![share(from, 100, false)],
                (Some(from), Some(to)) => {
                    let stays = old.then(|| share(from, 100 - weight, false));
                    let comes = new.then(|| share(to, weight, weight < 100));
                    stays.into_iter().chain(comes).collect()
                }
                (Some(from), None) => old.then(|| share(from, 100, false)).into_iter().collect(),
                (None, Some(to)) => {
                    let weight = if weight == 0 { 0 } else { 100 };
                    new.then(|| share(to, weight, weight < 100)).into_iter().collect()
                }
                (None, None) => Vec::new(),
            };
            if !shares.is_empty() {
                traffic.shares.insert(m.component.clone(), shares);
            }
        }
        Effect::Route { traffic }
    }
}
