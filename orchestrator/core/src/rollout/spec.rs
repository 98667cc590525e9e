//! What a rollout has to do, fixed when the plan is made.

use serde::{Deserialize, Serialize};

use crate::config::model::Strategy;
use crate::effect::Hook;
use crate::release::{Release, ReleaseId, RevisionId};

/// A rollout from one release to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub release: ReleaseId,
    pub previous: Option<ReleaseId>,
    pub strategy: Strategy,
    pub moves: Vec<Move>,
    /// Percent of the traffic on the new release, step by step; the last one is 100.
    pub steps: Vec<u32>,
    pub watch_ms: u64,
    pub deadline_ms: u64,
    pub rollback_window_ms: u64,
    /// Hooks and migrations do not run on the way back.
    pub rollback: bool,
}

/// What happens to one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub component: String,
    pub port: bool,
    pub from: Option<RevisionId>,
    pub to: Option<RevisionId>,
    /// Old and new number of replicas.
    pub replicas: (u32, u32),
    pub drain_ms: u64,
    pub start_timeout_ms: u64,
    pub migrate: bool,
    pub hooks: Vec<Hook>,
}

impl Move {
    /// New processes have to be started.
    pub fn is_new(&self) -> bool {
        self.to.is_some() && self.to != self.from
    }

    /// The same processes go on, more or fewer of them.
    pub fn is_scaled(&self) -> bool {
        self.to.is_some() && self.to == self.from && self.replicas.0 != self.replicas.1
    }

    /// The old revision, when nothing of it stays.
    pub fn leaving(&self) -> Option<&RevisionId> {
        self.from.as_ref().filter(|from| Some(*from) != self.to.as_ref())
    }
}

impl Spec {
    /// The rollout that leads from `previous` to `release`.
    pub fn new(previous: Option<&Release>, release: &Release, rollback: bool) -> Self {
        let mut names: Vec<&String> = release.components.keys().collect();
        if let Some(previous) = previous {
            names.extend(
                previous.components.keys().filter(|n| !release.components.contains_key(*n)),
            );
        }
        names.sort();
        let moves = names
            .into_iter()
            .map(|name| component_move(previous, release, name, rollback))
            .collect();
        let policy = &release.rollout;
        Self {
            release: release.id(),
            previous: previous.map(Release::id),
            strategy: policy.strategy,
            moves,
            steps: vec![100],
            watch_ms: policy.watch.0,
            deadline_ms: policy.deadline.0,
            rollback_window_ms: policy.rollback_window.0,
            rollback,
        }
    }

    /// Moves that start new processes, by whether they listen.
    pub fn starting(&self, port: bool) -> impl Iterator<Item = &Move> {
        self.moves.iter().filter(move |m| m.port == port && m.is_new())
    }
}

fn component_move(
    previous: Option<&Release>,
    release: &Release,
    name: &str,
    rollback: bool,
) -> Move {
    let old = previous.and_then(|r| r.components.get(name));
    let new = release.components.get(name);
    let spec = &new.or(old).expect("the name comes from one of the two releases").spec;
    let declared = [
        (Hook::PreDeploy, spec.hooks.pre_deploy.is_some()),
        (Hook::SmokeTest, spec.hooks.smoke_test.is_some()),
        (Hook::PostDeploy, spec.hooks.post_deploy.is_some()),
    ];
    let (from, to) = (old.map(|c| c.revision(name)), new.map(|c| c.revision(name)));
    let runs_commands = !rollback && to.is_some() && from != to;
    Move {
        component: name.into(),
        port: spec.port,
        replicas: (old.map_or(0, |c| c.spec.replicas), new.map_or(0, |c| c.spec.replicas)),
        from,
        to,
        // The old processes are drained by the rule that they were deployed with.
        drain_ms: old.map_or(spec.drain.0, |c| c.spec.drain.0),
        start_timeout_ms: spec.health.start_timeout.0,
        migrate: runs_commands && spec.migrate.is_some(),
        hooks: declared
            .into_iter()
            .filter(|(_, set)| *set && runs_commands)
            .map(|(hook, _)| hook)
            .collect(),
    }
}
