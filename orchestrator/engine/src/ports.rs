//! What the engine asks of the world. Each adapter implements these for one kind of target.
//!
//! The engine knows no processes, clusters or databases; an adapter knows no plans and decides
//! nothing. All futures are executor-agnostic, so that a simulator can drive them.

use std::time::Duration;

use async_trait::async_trait;
use neuroca_deploy_core::effect::{Effect, Outcome};
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::judge::{Compared, Window};
pub use neuroca_deploy_core::observed::{Observed, RevisionObserved, Trouble};
use neuroca_deploy_core::plan::{Base, Plan};
use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_core::rollout::Intent;
use serde::{Deserialize, Serialize};

/// The world, as one run sees it.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    pub target: &'a dyn Target,
    pub store: &'a dyn StateStore,
    pub clock: &'a dyn Clock,
    pub metrics: &'a dyn Metrics,
}

/// The token of whoever drives: a target refuses what comes with a lower epoch than it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Where components run.
#[async_trait]
pub trait Target: Send + Sync {
    /// Does one effect, or says why not. Doing it again changes nothing.
    async fn perform(&self, epoch: Epoch, effect: &Effect) -> Result<(), TargetError>;

    /// What is there now.
    async fn observe(&self) -> Result<Observed, TargetError>;

    /// Returns when something changed since `seen` or `at_most` has passed.
    async fn changed(&self, seen: u64, at_most: Duration);
}

/// Why an effect was not done.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", content = "message", rename_all = "snake_case")]
pub enum TargetError {
    /// It cannot be done as asked; trying again gives the same answer.
    #[error("{0}")]
    Refused(String),
    /// It was not done: what the plan was made from is not so any more.
    #[error("{0}")]
    Outdated(String),
    /// Nobody answered; the effect may or may not have happened. Worth trying again.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody else drives by now.
    #[error("another driver took over: {0}")]
    Fenced(String),
}

/// Where counts of requests come from.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// The windows that ended after `after_ms` and whose counts are final, oldest first; none yet
    /// is no error. Asking again for the same time gives the same windows, as long as the source
    /// remembers them.
    async fn windows(
        &self,
        compared: &[Compared],
        after_ms: u64,
    ) -> Result<Vec<Window>, MetricsError>;
}

/// Why there are no counts: the source, and what it said. It moves no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MetricsError(pub String);

/// Releases, journal, lock and intents, kept with the target.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// The release in force, its place in the history, and what was left half-way since.
    async fn base(&self) -> Result<Base, StoreError>;
    async fn release(&self, id: &ReleaseId) -> Result<Option<Release>, StoreError>;
    /// Newest first.
    async fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, StoreError>;

    /// Takes the lock, waiting up to `wait`; the epoch is higher than any before.
    async fn lock(&self, holder: &str, wait: Duration) -> Result<Epoch, StoreError>;
    /// Keeps it; fails when it was lost.
    async fn renew(&self, epoch: Epoch) -> Result<(), StoreError>;
    async fn unlock(&self, epoch: Epoch) -> Result<(), StoreError>;
    /// Who holds it, if anybody.
    async fn holder(&self) -> Result<Option<String>, StoreError>;

    /// The journal that has no end yet, with its plan.
    async fn unfinished(&self) -> Result<Option<Unfinished>, StoreError>;
    /// Opens a journal for the plan, storing plan and release record durably.
    async fn begin(&self, epoch: Epoch, plan: &Plan, who: &Who) -> Result<JournalId, StoreError>;
    /// Appends durably; fails when the epoch is not the lock's.
    async fn append(
        &self,
        epoch: Epoch,
        journal: JournalId,
        record: &Record,
    ) -> Result<(), StoreError>;
    /// Ends the journal and writes the history entry; a deployed release becomes the current one.
    async fn finish(
        &self,
        epoch: Epoch,
        journal: JournalId,
        outcome: &Outcome,
    ) -> Result<(), StoreError>;

    /// Leaves a wish for whoever drives.
    async fn leave_intent(&self, intent: &Intent, who: &Who) -> Result<(), StoreError>;
    /// Wishes that nobody has taken up, oldest first.
    async fn intents(&self) -> Result<Vec<(u64, Intent)>, StoreError>;
    /// Takes one up.
    async fn take_intent(&self, epoch: Epoch, id: u64) -> Result<(), StoreError>;
}

/// A journal's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JournalId(pub i64);

/// A run that was interrupted.
#[derive(Debug, Clone)]
pub struct Unfinished {
    pub journal: JournalId,
    pub plan: Plan,
    pub records: Vec<Record>,
}

/// Who asked, and why; kept in the history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    pub user: String,
    pub reason: Option<String>,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub sequence: u64,
    pub release: ReleaseId,
    pub version: Option<String>,
    pub outcome: Option<Outcome>,
    pub who: Who,
    /// Milliseconds since the Unix epoch.
    pub started_ms: u64,
    pub ended_ms: Option<u64>,
    pub current: bool,
    /// Whether this was a rollback.
    pub rollback: bool,
}

/// Why the state could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("the lock is held by {holder}")]
    Held { holder: String },
    #[error("another driver took the lock over")]
    Fenced,
    /// Corrupt, or written by a newer version: exit 7.
    #[error("{0}")]
    Unusable(String),
    #[error("{0}")]
    Failed(String),
}

/// Reads the values behind secret references and tells their versions.
pub trait Secrets: Send + Sync {
    /// The keyed hash of the present value.
    fn version(&self, reference: &str) -> Result<String, String>;
}

/// Time as the engine sees it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch; never goes back within one process.
    fn now_ms(&self) -> u64;
    async fn sleep(&self, time: Duration);
}
