//! The closed set of things that the engine may do to the world.
//!
//! Every effect stands between two journal records and is idempotent: a driver that resumes may
//! do it again. Effects name a release; what the release says is in its record on the target.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::model::HeaderRoute;
use crate::id::{ReleaseId, RevisionId};

/// One external effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Copy an artifact into the target's store, by digest.
    StoreArtifact { release: ReleaseId, component: String },
    /// Seal the values of the release's secrets for later restarts and rollbacks.
    SealSecrets { release: ReleaseId },
    /// Bring the user's own objects to what the release says; without one, those that it changed to nothing.
    ApplyManifests { release: Option<ReleaseId> },
    /// Run a hook to its end.
    RunHook { release: ReleaseId, component: String, hook: Hook },
    /// Run the component's database migration to its end.
    Migrate { release: ReleaseId, component: String },
    /// Start the component's revision, or bring it to the release's number of replicas.
    StartRevision { release: ReleaseId, component: String, revision: RevisionId },
    /// Put the whole split into force in one write, so that components move together.
    Route { traffic: Traffic },
    /// End the streams that outlived the drain limit.
    EndStreams { component: String, revision: RevisionId },
    /// Leave the revision running without traffic for `for_ms`; the target retires it afterwards.
    KeepWarm { component: String, revision: RevisionId, for_ms: u64 },
    /// Stop the revision's processes.
    StopRevision { component: String, revision: RevisionId },
    /// Take away those of the user's own objects that the release does not have.
    PruneManifests { release: Option<ReleaseId> },
    /// Make the release the current one (or, with none, none) in the history.
    Record { release: ReleaseId, outcome: Outcome },
}

impl Effect {
    /// Every kind, in declaration order; `kind` fails to compile when a variant is added, and the
    /// test below when it is not listed here. Kill points are enumerated from this list.
    pub const KINDS: [&'static str; 12] = [
        "store_artifact",
        "seal_secrets",
        "apply_manifests",
        "run_hook",
        "migrate",
        "start_revision",
        "route",
        "end_streams",
        "keep_warm",
        "stop_revision",
        "prune_manifests",
        "record",
    ];

    /// The effect's name in journals, errors and kill points.
    pub fn kind(&self) -> &'static str {
        let n = match self {
            Effect::StoreArtifact { .. } => 0,
            Effect::SealSecrets { .. } => 1,
            Effect::ApplyManifests { .. } => 2,
            Effect::RunHook { .. } => 3,
            Effect::Migrate { .. } => 4,
            Effect::StartRevision { .. } => 5,
            Effect::Route { .. } => 6,
            Effect::EndStreams { .. } => 7,
            Effect::KeepWarm { .. } => 8,
            Effect::StopRevision { .. } => 9,
            Effect::PruneManifests { .. } => 10,
            Effect::Record { .. } => 11,
        };
        Self::KINDS[n]
    }
}

/// The hooks of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    PreDeploy,
    SmokeTest,
    PostDeploy,
}

impl Hook {
    /// The key in the environment file.
    pub fn name(self) -> &'static str {
        match self {
            Hook::PreDeploy => "pre_deploy",
            Hook::SmokeTest => "smoke_test",
            Hook::PostDeploy => "post_deploy",
        }
    }
}

/// Who answers which share of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// The release whose routes and edge settings are in force.
    pub settings: ReleaseId,
    /// By component that listens. A share of weight 0 is reached by the preview header alone.
    pub shares: BTreeMap<String, Vec<Share>>,
    /// Percent of the requests of which the canary gets a copy, beside what `settings` say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mirror: u8,
    /// Header routes beside those that `settings` declare.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub header_routes: Vec<HeaderRoute>,
}

fn is_zero(percent: &u8) -> bool {
    *percent == 0
}

impl Traffic {
    /// Whether a canary and another revision answer the same requests.
    pub fn is_split(&self) -> bool {
        *self != self.without_canary()
    }
}

impl Traffic {
    /// What is safe while nobody judges a canary: it gets nothing, by weight, header or copy.
    pub fn without_canary(&self) -> Self {
        let mut safe = Self { mirror: 0, header_routes: Vec::new(), ..self.clone() };
        for shares in safe.shares.values_mut() {
            if shares.iter().any(|share| !share.canary) {
                shares.retain(|share| !share.canary);
                shares.iter_mut().for_each(|share| share.weight = 100);
            }
        }
        safe
    }
}

/// One revision's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub revision: RevisionId,
    /// Percent.
    pub weight: u32,
    /// Whether this is the revision that is to take over.
    pub canary: bool,
}

/// How a run of a plan ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The release has all of the traffic.
    Deployed,
    /// Health rules spoke against it; traffic is where it was before.
    TurnedBack { reason: String },
    /// A step failed before any traffic was touched.
    Failed { reason: String },
    /// What the plan was made from changed before it was carried out; what had been written was taken back.
    Outdated { reason: String },
    /// An operator ended it; traffic is where it was before.
    Aborted { reason: String },
    /// A newer release took its place; traffic is where it was before.
    Superseded,
    /// Going back failed as well, or left something running; the next plan takes nothing for given.
    Stranded { reason: String },
}

impl Outcome {
    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Deployed => "deployed",
            Outcome::TurnedBack { .. } => "turned back",
            Outcome::Failed { .. } => "failed",
            Outcome::Outdated { .. } => "stale",
            Outcome::Aborted { .. } => "aborted",
            Outcome::Superseded => "superseded",
            Outcome::Stranded { .. } => "stranded",
        }
    }

    /// Why it was not deployed, where there is more to say than the word.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::TurnedBack { reason }
            | Outcome::Failed { reason }
            | Outcome::Outdated { reason }
            | Outcome::Aborted { reason }
            | Outcome::Stranded { reason } => Some(reason),
            Outcome::Deployed | Outcome::Superseded => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serialised_tag_is_the_kind() {
        let effect = Effect::SealSecrets { release: ReleaseId("r-1".into()) };
        let json = serde_json::to_value(&effect).expect("serialises");
        assert_eq!(json["effect"], effect.kind());
    }
}
