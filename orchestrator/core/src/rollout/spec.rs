//! What a rollout has to do, fixed when the plan is made.

use serde::{Deserialize, Serialize};

use crate::config::model::{RolloutPolicy, Step, Strategy};
use crate::config::units::Millis;
use crate::effect::Hook;
use crate::judge::{Analysis, Compared};
use crate::manifests::Id;
use crate::release::{Release, ReleaseId, RevisionId};

/// A rollout from one release to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub release: ReleaseId,
    pub previous: Option<ReleaseId>,
    pub strategy: Strategy,
    pub moves: Vec<Move>,
    /// Step by step; the last one gives the new release all of the traffic.
    pub steps: Vec<Step>,
    pub analysis: Analysis,
    pub watch_ms: u64,
    pub deadline_ms: u64,
    pub rollback_window_ms: u64,
    /// Hooks and migrations do not run on the way back.
    pub rollback: bool,
    /// Set after a rollout that could not go back: what runs and what has traffic is not what the history says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stranded: Option<Stranded>,
    /// Set where there are objects of the user's own, or were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Manifests>,
}

/// What a rollout has to do with objects of the user's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifests {
    /// Nothing else changes: no process, no route.
    pub alone: bool,
    /// Workloads that this rollout writes, and that have to be ready before anything relies on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaited: Vec<Id>,
}

/// What was left behind by rollouts that could neither go on nor back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranded {
    /// Revisions that belong to neither of the two releases and may run.
    pub orphans: Vec<Orphan>,
}

/// A revision that is to be stopped once it has no traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    pub component: String,
    pub port: bool,
    pub revision: RevisionId,
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

    /// Requests go over from one revision to another.
    pub fn is_shifted(&self) -> bool {
        self.port && self.is_new() && self.from.is_some()
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
        Self::after(previous, &[], release, rollback)
    }

    /// The same, where `left` have come between and were left as they were. All of the traffic goes over at once:
    /// nobody knows who has it now, so that there is nothing to compare with.
    pub fn after(
        previous: Option<&Release>,
        left: &[Release],
        release: &Release,
        rollback: bool,
    ) -> Self {
        let mut names: Vec<&String> = release.components.keys().collect();
        if let Some(previous) = previous {
            names.extend(
                previous.components.keys().filter(|n| !release.components.contains_key(*n)),
            );
        }
        names.sort();
        let moves: Vec<Move> = names
            .into_iter()
            .map(|name| component_move(previous, release, name, rollback))
            .collect();
        let policy = &release.rollout;
        let stranded = (!left.is_empty()).then(|| stranded(left, &moves));
        let at_once = rollback || stranded.is_some();
        Self {
            release: release.id(),
            previous: previous.map(Release::id),
            strategy: policy.strategy,
            steps: if at_once { vec![Step::weight(100)] } else { steps(policy, &moves) },
            analysis: policy.analysis.clone(),
            moves,
            watch_ms: policy.watch.0,
            deadline_ms: policy.deadline.0,
            rollback_window_ms: policy.rollback_window.0,
            rollback,
            stranded,
            manifests: manifests(previous, left, release),
        }
    }

    /// Whether its processes have to be ready before any traffic is moved.
    pub fn is_started_first(&self, m: &Move) -> bool {
        match self.stranded {
            Some(_) => m.port && m.to.is_some(),
            None => (m.port && m.is_new()) || m.is_scaled(),
        }
    }

    /// Moves without a port whose processes are started once all of the traffic is on the new release.
    pub fn swapped(&self) -> impl Iterator<Item = &Move> {
        let anew = self.stranded.is_some();
        self.moves.iter().filter(move |m| !m.port && m.to.is_some() && (anew || m.is_new()))
    }

    /// Moves whose old processes have to be there before going back.
    pub fn returning(&self) -> impl Iterator<Item = &Move> {
        self.moves.iter().filter(|m| self.returns(m))
    }

    /// Whether its old processes may be gone, and are needed to go back.
    pub(super) fn returns(&self, m: &Move) -> bool {
        m.from.is_some() && (self.stranded.is_some() || m.leaving().is_some())
    }

    /// What was left behind, by whether it listens.
    pub fn orphans(&self, port: bool) -> impl Iterator<Item = (String, RevisionId)> {
        let all = self.stranded.iter().flat_map(|stranded| &stranded.orphans);
        all.filter(move |o| o.port == port).map(|o| (o.component.clone(), o.revision.clone()))
    }

    /// The components that a judge compares: both revisions of them get requests.
    pub fn compared(&self) -> Vec<Compared> {
        let both = self.moves.iter().filter(|m| m.is_shifted());
        both.filter_map(|m| {
            Some(Compared {
                component: m.component.clone(),
                canary: m.to.clone()?,
                stable: m.from.clone(),
            })
        })
        .collect()
    }

    /// The length of a window, in milliseconds: that of the edge, or of another source of counts.
    pub fn window_ms(&self) -> u64 {
        self.analysis.window().0
    }

    /// Whether the judge has a say before step `n` is left.
    pub fn is_judged(&self, n: usize) -> bool {
        let split = |step: &Step| step.weight < 100 && (step.weight > 0 || step.sends_by_header());
        self.steps.get(n).is_some_and(|step| step.analysis && split(step))
    }

    /// Whether anything has to be so before step `n` is left.
    pub fn is_held(&self, n: usize) -> bool {
        let step = &self.steps[n];
        n + 1 < self.steps.len() || step.pause.0 > 0 || step.gate
    }

    /// Whether any step waits for a judge.
    pub fn has_judge(&self) -> bool {
        (0..self.steps.len()).any(|n| self.is_judged(n))
    }

    /// Moves that start new processes, by whether they listen.
    pub fn starting(&self, port: bool) -> impl Iterator<Item = &Move> {
        self.moves.iter().filter(move |m| m.port == port && m.is_new())
    }
}

/// Whether there are objects of the user's own in any of the releases, and whether they are all that differs.
fn manifests(previous: Option<&Release>, left: &[Release], release: &Release) -> Option<Manifests> {
    let any = previous.into_iter().chain(left).chain([release]).any(|r| !r.manifests.is_empty());
    let same = match previous {
        Some(previous) => {
            (&previous.components, &previous.edge, &previous.kubernetes)
                == (&release.components, &release.edge, &release.kubernetes)
        }
        None => release.components.is_empty(),
    };
    any.then_some(Manifests { alone: same && left.is_empty(), awaited: Vec::new() })
}

/// The revisions of `left` that no move names.
fn stranded(left: &[Release], moves: &[Move]) -> Stranded {
    let mut orphans: Vec<Orphan> = Vec::new();
    let named =
        |id: &RevisionId| moves.iter().any(|m| [&m.from, &m.to].contains(&&Some(id.clone())));
    for (name, component) in left.iter().flat_map(|release| &release.components) {
        let revision = component.revision(name);
        if !named(&revision) && !orphans.iter().any(|o| o.revision == revision) {
            orphans.push(Orphan { component: name.clone(), port: component.spec.port, revision });
        }
    }
    Stranded { orphans }
}

/// The weights that a canary takes when the environment file gives none, a minute each.
const DEFAULT_WEIGHTS: [u8; 3] = [5, 25, 50];

/// The steps of a policy. Where no component has an old revision there is nothing to split.
fn steps(policy: &RolloutPolicy, moves: &[Move]) -> Vec<Step> {
    let all = Step::weight(100);
    if policy.strategy != Strategy::Canary || !moves.iter().any(Move::is_shifted) {
        return vec![all];
    }
    let minute = |weight| Step { pause: Millis(60_000), analysis: true, ..Step::weight(weight) };
    let mut steps = match policy.steps.as_slice() {
        [] => DEFAULT_WEIGHTS.map(minute).to_vec(),
        given => given.to_vec(),
    };
    if steps.last().is_none_or(|step| step.weight < 100) {
        steps.push(all);
    }
    steps
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
