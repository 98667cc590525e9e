//! The port of the worker: what it does to the memories of all tenants, and what it is asked to do.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Removed, StoreError};
use crate::memory::{Memory, Moment, Tier};
use crate::tenant::Tenant;

/// A memory that has earned the next tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotable {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub id: Uuid,
    /// Where it is.
    pub tier: Tier,
}

/// Where a consolidation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// The worker has not taken it up yet.
    Pending,
    /// The worker is at it.
    Running,
    /// It has ended.
    Done,
    /// It has ended before it was done; the worker's log says why.
    Failed,
}

impl TaskState {
    pub(super) fn name(self) -> &'static str {
        match self {
            TaskState::Pending => "pending",
            TaskState::Running => "running",
            TaskState::Done => "done",
            TaskState::Failed => "failed",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [TaskState::Pending, TaskState::Running, TaskState::Done, TaskState::Failed]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// A consolidation that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Task {
    /// Which.
    pub id: Uuid,
    /// Whose.
    #[serde(skip)]
    pub tenant: Tenant,
    /// Where it stands.
    pub state: TaskState,
    /// When it was asked for.
    pub created_at: Moment,
    /// When it ended.
    pub finished_at: Option<Moment>,
    /// Memories that went up a tier.
    pub promoted: i64,
    /// Memories that another one says as well or better.
    pub superseded: i64,
}

/// That this process is the only worker on the database.
#[async_trait]
pub trait Lead: Send {
    /// Whether it still is.
    async fn holds(&mut self) -> bool;
}

/// What the worker needs of a database.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Becomes the only worker; `None` while another one is.
    async fn lead(&self) -> Result<Option<Box<dyn Lead>>, StoreError>;
    /// Removes at most `batch` expired memories and as many old keys, so that nobody waits long.
    async fn remove_expired(&self, now: Moment, batch: u32) -> Result<Removed, StoreError>;
    /// Removes at most `batch` memories that nobody has looked at since `before`, from long-term
    /// memory, and what was superseded by then: how many.
    async fn remove_unseen(&self, before: Moment, batch: u32) -> Result<u64, StoreError>;
    /// Indexes at most `batch` memories that are not: how many it found.
    async fn index_missing(&self, batch: u32) -> Result<u64, StoreError>;
    /// At most `batch` memories that have earned the next tier, behind `after` in their order; of one
    /// tenant, if it is given.
    async fn promotable(
        &self,
        of: Option<&Tenant>,
        after: Option<&Promotable>,
        now: Moment,
        batch: u32,
    ) -> Result<Vec<Promotable>, StoreError>;
    /// At most `batch` long-term memories that were not compared with the others; of one tenant, if
    /// it is given.
    async fn to_compare(
        &self,
        of: Option<&Tenant>,
        batch: u32,
    ) -> Result<Vec<(Tenant, Memory)>, StoreError>;
    /// Another long-term memory of the same words about the same subject: the oldest.
    async fn same_words(
        &self,
        tenant: &Tenant,
        memory: &Memory,
    ) -> Result<Option<Memory>, StoreError>;
    /// Ends `id` in favour of `by`; both have to be current. Whether it was done.
    async fn supersede(
        &self,
        tenant: &Tenant,
        id: Uuid,
        by: Uuid,
        now: Moment,
    ) -> Result<bool, StoreError>;
    /// Notes that it was compared, unless it has changed since.
    async fn compared(
        &self,
        tenant: &Tenant,
        id: Uuid,
        version: i64,
        now: Moment,
    ) -> Result<(), StoreError>;

    /// Asks the worker for a consolidation.
    async fn add_task(&self, task: &Task) -> Result<(), StoreError>;
    /// How far it is.
    async fn task(&self, tenant: &Tenant, id: Uuid) -> Result<Option<Task>, StoreError>;
    /// The oldest task that has not ended: one that runs was left by a worker that died.
    async fn next_task(&self) -> Result<Option<Task>, StoreError>;
    /// Writes how far it is.
    async fn save_task(&self, task: &Task) -> Result<(), StoreError>;
    /// Removes tasks that ended before `before`.
    async fn remove_tasks(&self, before: Moment) -> Result<(), StoreError>;
}
