//! The repository of memories: what every database behind it has to do, and how one is opened.
//!
//! Knows no HTTP. Both implementations pass one contract test (`tests/contract.rs`). What they share
//! word for word is in `store/common`, which each compiles against its own connection.

mod admin;
mod flags;
mod look;
mod migrate;
mod notices;
mod open;
mod owner;
mod postgres;
mod rekeying;
mod rows;
mod span;
mod spending;
mod sqlite;
mod turn;
mod types;
mod upkeep;
mod vectors;
mod written;

use async_trait::async_trait;
use uuid::Uuid;

pub use admin::Admin;
pub use flags::FlagStore;
pub use look::{Look, Wanted};
pub use migrate::{Migrated, MigrationStatus, migrate, rollback, status};
pub use notices::NoticeBoard;
pub use open::{OpenError, open, open_with};
pub use rekeying::{Behind, Lock, Part, Rekeying};
pub use spending::Spending;
pub use types::{
    Access, Candidate, Changed, Created, Deleted, Edit, Evicted, Filter, Idempotency, NewMemories,
    Page, PoolState, Present, Receipt, Removed, StoreError, SubjectUse,
};

pub use vectors::{NewVector, StoredVector, Vectors};

pub use upkeep::{Lead, Promotable, Task, TaskState, Upkeep};

use crate::audit::Act;
use crate::memory::{Memory, Moment, Tier, Version};
use crate::schema::SchemaState;
use crate::tenant::Tenant;

/// Idempotency keys are kept for a day.
pub const KEY_LIFE_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// The port to a database of memories. A write that answered `Ok` survives a crash of the process
/// and of the machine. Nothing of another tenant is seen or changed.
#[async_trait]
pub trait Repository:
    Upkeep + Admin + Spending + NoticeBoard + FlagStore + Vectors + Rekeying
{
    /// Writes memories, all or none, once per idempotency key.
    async fn create(&self, tenant: &Tenant, new: NewMemories) -> Result<Created, StoreError>;
    /// The memory of this id, unless it expired.
    async fn get(
        &self,
        tenant: &Tenant,
        id: Uuid,
        now: Moment,
    ) -> Result<Option<Memory>, StoreError>;
    /// A page of what has not expired and was not superseded.
    async fn list(&self, tenant: &Tenant, page: Page) -> Result<Vec<Memory>, StoreError>;
    /// Makes a new version of one memory; the old one goes to its history.
    async fn edit(&self, tenant: &Tenant, edit: Edit) -> Result<Changed, StoreError>;
    /// Removes it, with its history; only this version of it, if one is given.
    async fn delete(
        &self,
        tenant: &Tenant,
        id: Uuid,
        version: Option<i64>,
        now: Moment,
    ) -> Result<Deleted, StoreError>;
    /// All versions, oldest first; none when there is no such memory.
    async fn history(
        &self,
        tenant: &Tenant,
        id: Uuid,
        now: Moment,
    ) -> Result<Vec<Version>, StoreError>;
    /// A tier with how present its memories are, newest first.
    async fn tier(&self, tenant: &Tenant, page: Page) -> Result<Vec<Present>, StoreError>;
    /// How many memories each tier of the tenant has.
    async fn counts(&self, tenant: &Tenant) -> Result<[i64; Tier::ALL.len()], StoreError>;
    /// How many memories each tier has, of all tenants together.
    async fn totals(&self) -> Result<[i64; Tier::ALL.len()], StoreError>;
    /// Counts accesses; what is gone meanwhile is passed over.
    async fn touch(&self, tenant: &Tenant, accesses: Vec<Access>) -> Result<(), StoreError>;

    /// A look at the tenant's memories.
    fn look<'a>(&'a self, tenant: &Tenant) -> Box<dyn Look + 'a>;

    /// What there is of a subject, oldest first, the superseded too.
    async fn of_subject(
        &self,
        tenant: &Tenant,
        subject: &str,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<SubjectUse>, StoreError>;
    /// Removes everything about a subject, from every table, and counts it.
    async fn forget(&self, tenant: &Tenant, subject: &str, act: Act)
    -> Result<Receipt, StoreError>;

    /// What the database says about its schema; `None` before the first migration.
    async fn schema(&self) -> Result<Option<SchemaState>, StoreError>;
    /// The connections.
    fn pool(&self) -> PoolState;
    /// Ends the connections after the work they have.
    async fn close(&self);
}
