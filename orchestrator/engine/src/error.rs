//! Why a run did not end with an outcome of its own.

use neuroca_deploy_core::journal::JournalError;
use neuroca_deploy_core::plan::Base;
use neuroca_deploy_core::release::ReleaseId;

use crate::ports::StoreError;

/// Whatever is named here left the journal open, or never opened one.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// What the plan was made from has changed.
    #[error("the plan is stale: it was made from {}, now {} is in force", show(.planned), show(.found))]
    Stale { planned: Base, found: Base },
    /// Another plan's run was interrupted and has to end first.
    #[error("an earlier run, of release {release}, was interrupted and has not ended")]
    Unfinished { release: ReleaseId },
    /// There is no interrupted run to go on with.
    #[error("no rollout is running or interrupted")]
    NothingToResume,
    /// A stop was asked for; the journal stays open and the same command goes on.
    #[error("stopped; the rollout waits for {waits_for}")]
    Interrupted { waits_for: String },
    /// Only a person can say how it goes on; the journal stays open.
    #[error("stopped without a verdict: {reason}")]
    Undecided { reason: String },
    /// An operator's pause outlasted the run's time limit, or the limit passed.
    #[error("not done within the time limit; the rollout waits for {waits_for}")]
    TimedOut { waits_for: String },
    /// The target did not answer for a long time.
    #[error("the target does not answer: {0}")]
    Unreachable(String),
    /// Somebody else drives now; nothing was done since.
    #[error("another driver took the lock over; this one has stopped")]
    Fenced,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the journal of an earlier run cannot be continued: {0}")]
    Journal(#[from] JournalError),
}

fn show(base: &Base) -> String {
    match &base.release {
        Some(release) => format!("{release} (number {})", base.sequence),
        None => "no release".into(),
    }
}
