//! Plans: what will change, why, what it does to traffic. A plan is a value with a digest.
//!
//! Making one reads nothing: the current and the desired release come in as values.

mod changes;

use serde::{Deserialize, Serialize};

pub use changes::{Change, ChangeKind, Origin};

use crate::config::model::{Step, Strategy};
use crate::config::units::Millis;
use crate::digest::Digest;
use crate::manifests::ManifestPlan;
use crate::release::{Release, ReleaseId};
use crate::rollout::Spec;

/// The version of the plan's form; a plan of another form is refused, not guessed at.
pub const FORMAT: u32 = 2;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub format: u32,
    pub project: String,
    pub environment: String,
    pub base: Base,
    pub release: Release,
    pub changes: Vec<Change>,
    pub rollout: Spec,
    /// What happens to the user's own objects, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<ManifestPlan>,
}

/// What the plan was made from; when this has changed the plan is stale.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The release in force, and its place in the history: the same release again after another
    /// one in between is a change.
    pub release: Option<ReleaseId>,
    pub sequence: u64,
    /// Releases that came after it, were left half-way and could not be gone back from; newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stranded: Vec<ReleaseId>,
}

/// The release in force, and those that were left half-way since then.
#[derive(Debug, Clone, Copy, Default)]
pub struct InForce<'a> {
    pub release: Option<&'a Release>,
    pub stranded: &'a [Release],
}

/// A plan as it is saved: with the digest that an approver was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlan {
    pub digest: Digest,
    pub plan: Plan,
}

/// Why a saved plan cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(
        "this is not a saved plan: {0}\n  hint: make one with `neuroca-deploy plan ENV --out FILE`"
    )]
    Unreadable(String),
    #[error(
        "the plan was edited after it was made: its digest is {actual}, it says {stated}\n  hint: make a new one with `neuroca-deploy plan {environment} --out FILE`"
    )]
    Edited { stated: String, actual: String, environment: String },
    #[error("the plan has format {0}, this version reads format {FORMAT}\n  hint: make a new plan")]
    Format(u32),
}

impl Plan {
    /// The plan that leads from the current release to the desired one. `origin` tells where a
    /// setting of the environment file came from.
    pub fn new(
        base: Base,
        in_force: InForce<'_>,
        desired: Release,
        rollback: bool,
        origin: &dyn Fn(&str) -> Option<Origin>,
    ) -> Self {
        Self {
            format: FORMAT,
            project: desired.project.clone(),
            environment: desired.environment.clone(),
            base,
            changes: changes::between(in_force.release, &desired, origin),
            rollout: Spec::after(in_force.release, in_force.stranded, &desired, rollback),
            release: desired,
            manifests: None,
        }
    }

    /// The plan with what happens to the user's own objects.
    pub fn with_manifests(mut self, manifests: Option<ManifestPlan>) -> Self {
        if let (Some(own), Some(planned)) = (&mut self.rollout.manifests, &manifests) {
            own.awaited = planned.awaited(&self.release.manifests);
        }
        self.manifests = manifests;
        self
    }

    /// The digest that identifies it.
    pub fn digest(&self) -> Digest {
        Digest::of(self)
    }

    /// Whether it leads from the same place to the same release. What has to be done to the user's own objects may differ: of
    /// two plans one may have been made when the other was half carried out.
    pub fn leads_as(&self, other: &Plan) -> bool {
        self.base == other.base && self.release == other.release && self.rollout == other.rollout
    }

    /// Whether there is nothing to do.
    pub fn is_noop(&self) -> bool {
        self.base.release.as_ref() == Some(&self.rollout.release)
            && self.rollout.stranded.is_none()
            && self.manifests.as_ref().is_none_or(ManifestPlan::is_noop)
    }

    /// The plan with its digest, as it is written to a file.
    pub fn save(&self) -> SavedPlan {
        SavedPlan { digest: self.digest(), plan: self.clone() }
    }

    /// What it will do to traffic, a line per component.
    pub fn traffic_effect(&self) -> Vec<String> {
        self.rollout.moves.iter().map(|m| {
            let name = &m.component;
            match (&m.from, &m.to) {
                (Some(from), Some(to)) if from == to && m.is_scaled() => {
                    format!("{name}: {from} goes from {} to {} replicas; no request is moved", m.replicas.0, m.replicas.1)
                }
                (Some(from), Some(to)) if from == to && self.rollout.stranded.is_some() => {
                    format!("{name}: {from} is started if it does not run, and gets all traffic once ready")
                }
                (Some(from), Some(to)) if from == to => format!("{name}: {from} goes on; not touched"),
                (_, Some(to)) if !m.port => format!("{name}: {to} takes over after the traffic was shifted; one revision at a time"),
                (Some(from), Some(to)) if self.rollout.strategy == Strategy::Recreate => {
                    format!("{name}: {from} is STOPPED FIRST, then {to} is started; requests are refused in between")
                }
                (Some(from), Some(to)) if self.rollout.strategy == Strategy::Canary && !self.rollout.rollback => format!(
                    "{name}: {to} starts beside {from}, gets {}; {from} drains up to {} and stays warm for {}",
                    weights(&self.rollout.steps),
                    Millis(m.drain_ms),
                    Millis(self.rollout.rollback_window_ms)
                ),
                (Some(from), Some(to)) => format!(
                    "{name}: {to} starts beside {from}, gets all traffic once ready; {from} drains up to {} and stays warm for {}",
                    Millis(m.drain_ms),
                    Millis(self.rollout.rollback_window_ms)
                ),
                (None, Some(to)) => format!("{name}: {to} is new and gets its traffic once ready"),
                (Some(from), None) => format!("{name}: {from} loses its traffic, drains and is stopped"),
                (None, None) => format!("{name}: nothing"),
            }
        }).collect()
    }
}

/// "5 % (60s, judged), 25 % (judged), 100 %".
fn weights(steps: &[Step]) -> String {
    let words = steps.iter().map(|step| {
        let mut conditions = Vec::new();
        if step.pause.0 > 0 {
            conditions.push(step.pause.to_string());
        }
        if step.analysis && step.weight < 100 {
            conditions.push("judged".into());
        }
        if step.gate {
            conditions.push("waits for `rollout promote`".into());
        }
        match conditions.is_empty() {
            true => format!("{} %", step.weight),
            false => format!("{} % ({})", step.weight, conditions.join(", ")),
        }
    });
    words.collect::<Vec<_>>().join(", then ")
}

/// Reads a saved plan and checks that nobody touched it.
pub fn read(text: &str) -> Result<Plan, PlanError> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|e| PlanError::Unreadable(e.to_string()))?;
    match value["plan"]["format"].as_u64() {
        Some(format) if format != u64::from(FORMAT) => {
            return Err(PlanError::Format(format as u32));
        }
        _ => {}
    }
    let saved: SavedPlan =
        serde_json::from_value(value).map_err(|e| PlanError::Unreadable(e.to_string()))?;
    let actual = saved.plan.digest();
    if actual != saved.digest {
        return Err(PlanError::Edited {
            stated: saved.digest.short(12).into(),
            actual: actual.short(12).into(),
            environment: saved.plan.environment,
        });
    }
    Ok(saved.plan)
}
